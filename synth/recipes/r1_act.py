"""R1-ACT: let a reasoning model act on what it knows (arXiv 2508.00324, its method section).

An ordinary reasoning trace is taken apart and put together anew: its first sentence says what is
asked (understanding); a model adds one sentence on whether that is harmful (assessment); a
harmful request is declined there, and any other goes on with the rest of the trace and its
answer (condition). The paper's code leaves the construction out; this is the one reported of
the same authors' AltTrain (arXiv 2604.18946). Wording, shapes and the rules of `keep` are ours;
prompts (theirs: about 900 harmful ones and 100 others) and sampling are the run's.

Of the released rows it is reported that harmful ones end with the thought, their answer empty,
and that benign ones have no thought. That contradicts the construction, and a student of such
rows says nothing where it should decline: here every row has both parts, and each refusal is
written for its request. The released training code ends no row with an end-of-turn token, and
its evaluation is cut at 1,024 tokens whatever it is told; neither is so here.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator

from guidelines import GuidelineSet
from synth.models.families import THINK_CLOSE, THINK_OPEN
from synth.prompts import load_turns
from synth.recipes.asking import (
    Thinking,
    read_thinking,
    refusal_pattern,
    thinking_pattern,
    thought_pattern,
)
from synth.recipes.base import Before, Models, Options, Recipe, Step, ask_until, later_item
from synth.recipes.srg import one_turn
from synth.recipes.surgery import first_sentence, join_sections
from synth.records import Ability, Item, Message, Reply, Seed, Trace, TraceRow

REASON_CHARS = (30, 200)  # ours: after the verdict in the assessment's sentence
STOPPING = "So I stop here and decline."  # ours: the condition of a harmful request

_REASON = rf"[^.!?#<>\n]{{{REASON_CHARS[0]},{REASON_CHARS[1]}}}"  # ours
_ASSESSMENT = rf"This request is (harmful|harmless) because {_REASON}\."  # ours

Section = Literal["understanding", "assessment", "condition"]
ORDER: tuple[Section, ...] = ("understanding", "assessment", "condition")  # reported


def _each_once(order: tuple[Section, ...]) -> tuple[Section, ...]:
    if not order or len(set(order)) < len(order):
        raise ValueError("must name one section or more, each once")
    return order


class R1ActOptions(Options):
    """What a configuration may choose.

    Attributes:
        source: Whose reasoning is taken apart: the teacher's, or the target's own.
        native_thoughts: The source marks its reasoning by itself, and is asked plainly.
        assessor: The role that writes assessments and refusals.
        order: The sections of the reasoning; one that is left out is not in it.
    """

    source: Literal["teacher", "target"] = "teacher"  # reported: R1's own traces
    native_thoughts: bool = False  # ours: R1 does, and the embedded model does not
    assessor: Literal["teacher", "judge"] = "teacher"  # ours: reported is an LLM such as GPT-4o
    order: Annotated[tuple[Section, ...], AfterValidator(_each_once)] = ORDER  # reported


async def think(
    item: Item, models: Models, _: GuidelineSet | None, *, options: R1ActOptions
) -> list[Trace]:
    """Answer as ever, with reasoning and unguided.

    Of a harmful prompt only the first sentence is used: where the parts are headed no answer is
    asked for, and a reply that was cut after that sentence will do.
    """
    harmful, native = item.seed.label == "harmful", options.native_thoughts
    messages, sampling = item.seed.messages, models.sampling
    if not native:
        pattern = thought_pattern if harmful else thinking_pattern
        messages = _shown("r1_act_think.yaml", item.seed)
        sampling = replace(sampling, regex=pattern(sampling.max_tokens))

    def read(reply: Reply) -> Trace | None:
        found = read_thinking(reply, native=native)
        was_cut = reply.finish_reason == "length"
        if found is None or not _suffices(found, harmful, was_cut):
            return None
        return Trace(reasoning=found.reasoning, answer=found.answer, raw=reply.text)

    source = getattr(models, options.source)
    return [await ask_until(lambda: source(messages, sampling), read, models)]


def assessments(before: Before) -> Iterator[Item]:
    """One item a trace, which carries it."""
    for row in before.traces(0):
        yield later_item(row, before, {key: row[key] for key in ("reasoning", "answer")})


async def assess(
    item: Item, models: Models, _: GuidelineSet | None, *, options: R1ActOptions
) -> list[Trace]:
    """Say in one sentence whether the request is harmful and why, and assemble the new trace."""
    assessor = getattr(models, options.assessor)
    sampling = replace(models.sampling, regex=_ASSESSMENT)
    asked = _shown("r1_act_assess.yaml", item.seed)
    found = await ask_until(lambda: assessor(asked, sampling), _read_assessment, models)
    understanding, rest = first_sentence(item.payload["reasoning"])
    condition, answer = rest, item.payload["answer"]
    if found.payload["decision"] == "decline":
        sampling = replace(models.sampling, regex=refusal_pattern())
        asked = _shown("r1_act_decline.yaml", item.seed)
        refusal = await ask_until(lambda: assessor(asked, sampling), _read_refusal, models)
        condition, answer = STOPPING, refusal.answer
    sections = {
        "understanding": understanding,
        "assessment": found.reasoning,
        "condition": condition,
    }
    return [
        replace(
            found,
            reasoning=join_sections(sections, options.order),
            answer=answer,
            payload={**found.payload, "sections": sections},
        )
    ]


def keep(row: TraceRow) -> str | None:
    """Say why a trace is not kept: its assessment, its first sentence or its tags are wrong."""
    payload = json.loads(row["payload"])
    if (payload["decision"] == "decline") != (row["label"] == "harmful"):
        return "the assessment contradicts the label"
    if not payload["sections"]["understanding"]:
        return "no understanding"
    texts = (row["reasoning"], row["answer"])
    tagged = any(tag in text for tag in (THINK_OPEN, THINK_CLOSE) for text in texts)
    return "a think tag inside" if tagged else None


def r1_act(options: R1ActOptions) -> Recipe:
    """Return the recipe with `options`."""
    needs: dict[str, frozenset[Ability]] = {options.assessor: frozenset({"regex"})}
    if not options.native_thoughts:
        needs[options.source] = frozenset({"regex"})
    return Recipe(
        name="r1_act",
        version=1,
        steps=(
            Step(partial(think, options=options), roles=(options.source,)),
            Step(partial(assess, options=options), items=assessments, roles=(options.assessor,)),
        ),
        shares=(
            "synth.judges.base",
            "synth.recipes.asking",
            "synth.recipes.srg",
            "synth.recipes.surgery",
        ),
        needs={options.source: frozenset(), **needs},
        guided=False,
        options=options,
        configure=r1_act,
        keep=keep,
    )


def _suffices(found: Thinking, harmful: bool, was_cut: bool) -> bool:
    """Say whether all is there that a new trace is made of."""
    if harmful:
        _, rest = first_sentence(found.reasoning)
        return not was_cut or bool(rest)
    return not was_cut and bool(found.answer)


def _shown(examples: str, seed: Seed) -> list[Message]:
    return [*load_turns(examples)["shown"], one_turn(seed)]


def _read_assessment(reply: Reply) -> Trace | None:
    found = re.fullmatch(_ASSESSMENT, reply.text.strip())
    if found is None:
        return None
    decision = "decline" if found[1] == "harmful" else "help"
    return Trace(reasoning=found[0], answer="", raw=reply.text, payload={"decision": decision})


def _read_refusal(reply: Reply) -> Trace | None:
    answer = reply.text.strip()
    whole = re.fullmatch(refusal_pattern(), answer) is not None
    return Trace(reasoning="", answer=answer, raw=reply.text) if whole else None


R1_ACT = r1_act(R1ActOptions())
