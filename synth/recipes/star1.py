"""STAR-1: few rows, policy-grounded, graded, diverse (arXiv 2504.01903, sections 2.2 and 2.3).

The teacher names the policies that bear on a prompt, reasons with the texts of those alone as if
it knew them by heart, and answers. A judge grades safety, relevance of the policies and accuracy
of the reasoning from 0 to 10; only full marks are kept. Of these, the row whose source and
categories are the most frequent goes, one by one, until 1,000 are left (`synth.curate.passes`).

The guidelines of the run's set are the policies here, where the paper has eight categories of
hazard; a prompt that none bears on is dropped, as the paper drops its Other. The shape of the
reasoning is SRG's, the wording ours: a trace cites no policy, where the paper's do. The sampling
is the run's (the paper's: temperature 0.6, top-p 0.7, 8k tokens). The paper's benign rows are
look-alikes rewritten of harmful prompts, graded from 1 to 5, and 915 beside the 1,000; ours are
the run's benign prompts, graded by the same three criteria as the rest, worded so that needless
refusal costs marks too, and among the 1,000.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from guidelines import Guideline, GuidelineSet
from synth.config.schema import Positive
from synth.errors import Invalid
from synth.judges.base import delimit
from synth.judges.reading import Doubt, grade_pattern, read_grades
from synth.prompts import load_text, render
from synth.recipes.base import Before, Models, Options, Recipe, Step, ask_until, later_item
from synth.recipes.srg import bullets, guided_turns, one_turn, read_sections, section_pattern
from synth.records import Item, Message, Reply, Sampling, Trace, TraceRow

CRITERIA = ("safety", "relevance", "accuracy")  # paper
BEST_GRADE = 10  # paper
MOST_POLICIES = 3  # ours: the paper says one or more
OTHER = "other"  # paper: what belongs to no category
CARRIED = ("reasoning", "answer", "teacher")  # ours: of a trace, with it to its grading
NAMING_TOKENS, GRADING_TOKENS = 160, 64  # ours: room for the names, and for the three grades


class Star1Options(Options):
    """What a configuration may choose.

    Attributes:
        min_grade: Each of the three grades is so high at least.
        rows: Rows kept for training at most, chosen for diversity.
    """

    PLAN_ONLY = frozenset({"min_grade", "rows"})

    min_grade: Annotated[int, Field(ge=0, le=BEST_GRADE)] = 10  # paper
    rows: Positive = 1_000  # paper


async def deliberate(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Name the policies that bear on the prompt, and reason and answer under these alone.

    Raises:
        Invalid: None does.
    """
    assert guidelines is not None, "star1 is a guided recipe"
    matched = await _match(item, models, guidelines)
    [_, *examples] = guided_turns(guidelines)
    system = render(load_text("star1_reason.md"), policies=bullets(g.text for g in matched))
    messages = [Message(role="system", content=system), *examples, one_turn(item.seed)]
    sampling = replace(models.sampling, regex=section_pattern(models.sampling.max_tokens))
    trace = await ask_until(lambda: models.teacher(messages, sampling), read_sections, models)
    chosen = {"categories": [policy.id for policy in matched], "policies": item.guidelines}
    return [replace(trace, payload={**trace.payload, **chosen})]


def gradings(before: Before) -> Iterator[Item]:
    """One item a trace, which carries it."""
    for row in before.traces(0):
        told = json.loads(row["payload"])
        carried = {key: row[key] for key in CARRIED} | told
        yield later_item(row, before, carried, guidelines=told["policies"])


async def grade(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Have the trace graded under the policies it was made with, in one greedy call."""
    assert guidelines is not None, "star1 is a guided recipe"
    trace = {name: item.payload[name] for name in CARRIED}
    matched = [g.text for g in guidelines.guidelines if g.id in item.payload["categories"]]
    texts = {"reasoning": trace["reasoning"], "answer": trace["answer"]}
    asked = render(
        load_text("star1_grade.md"),
        policies=bullets(matched),
        best=str(BEST_GRADE),
        **delimit({"request": one_turn(item.seed)["content"], **texts}),
    )
    pattern = grade_pattern(CRITERIA, BEST_GRADE)
    sampling = Sampling(temperature=0.0, max_tokens=GRADING_TOKENS, regex=pattern)
    reply = await models.judge([Message(role="user", content=asked)], sampling)
    kept = {name: item.payload[name] for name in ("decision", "sections", "categories")}
    return [Trace(**trace, raw=reply.text, payload={**kept, **_read_grades(reply)})]


def keep(row: TraceRow, *, min_grade: int) -> str | None:
    """Say why a trace is not kept: it has no grades, or one is too low."""
    payload = json.loads(row["payload"])
    if "grades" not in payload:
        return f"no grades: {payload['undetermined']}"
    grades: dict[str, int] = payload["grades"]
    low = [f"{name} {grades[name]}" for name in CRITERIA if grades[name] < min_grade]
    return f"graded {', '.join(low)}" if low else None


def star1(options: Star1Options) -> Recipe:
    """Return the recipe with `options`."""
    return Recipe(
        name="star1",
        version=1,
        steps=(Step(deliberate), Step(grade, items=gradings, roles=("judge",))),
        shares=(
            "synth.judges.base",
            "synth.judges.reading",
            "synth.recipes.srg",
            "synth.recipes.surgery",
        ),
        needs={"teacher": frozenset({"regex"}), "judge": frozenset({"regex"})},
        options=options,
        configure=star1,
        keep=partial(keep, min_grade=options.min_grade),
        max_rows=options.rows,
    )


async def _match(item: Item, models: Models, guidelines: GuidelineSet) -> list[Guideline]:
    """Return the policies that the teacher names, in the order of the set."""
    known = {policy.id: policy for policy in guidelines.guidelines}
    policies = bullets(f"{policy.id}: {policy.title}" for policy in known.values())
    system = render(load_text("star1_classify.md"), policies=policies, most=str(MOST_POLICIES))
    messages = [Message(role="system", content=system), one_turn(item.seed)]
    name = "|".join(known).replace(".", r"\.")  # all else that an id may hold means itself
    pattern = rf"({OTHER}|({name})(, ({name})){{0,{MOST_POLICIES - 1}}})"
    sampling = Sampling(temperature=0.0, max_tokens=NAMING_TOKENS, regex=pattern)

    def read(reply: Reply) -> Trace | None:
        named = re.fullmatch(pattern, reply.text.strip())
        return Trace(reasoning="", answer=named[0]) if named else None

    named = await ask_until(lambda: models.teacher(messages, sampling), read, models)
    chosen = named.answer.split(", ")
    matched = [policy for policy in known.values() if policy.id in chosen]
    if not matched:
        raise Invalid("no policy bears on the prompt")
    return matched


def _read_grades(reply: Reply) -> dict[str, Any]:
    """Return the grades under `grades`, or under `undetermined` why there are none."""
    if reply.finish_reason == "length":
        return {"undetermined": "cut off"}
    try:
        return {"grades": read_grades(reply.text, CRITERIA, BEST_GRADE)}
    except Doubt as doubt:
        return {"undetermined": str(doubt)}


STAR1 = star1(Star1Options())
