"""SGASA: guidelines that a model writes for itself (arXiv 2511.21214v1, its method section).

All there is of a new family of attacks is a handful of labelled examples. The model to be trained
(role `target`; there is no other teacher)

0. writes guidelines from the examples, and keeps those under which it answers the very same
   examples as it should;
1. writes thousands of prompts like them, and keeps those that it labels as intended;
2. answers the kept prompts under a guideline, and
3. is trained on the answers taken, the guideline left out;
4. then the model so trained answers without any guideline, and
5. is trained by DPO on prompts where its answers differ.

Published are these steps, their tags, that benign answers are scored by the model itself, and the
numbers marked `paper`. Ours are all texts, the scale of the score, that a guideline must pass on
all examples, one row and one pair a prompt, that the student scores its own samples, and how a
target is asked that does not mark its reasoning (`sgasa_asking.py`).

The examples are the run's training seeds: `seeds.path` names a file of one family's. What is tried
until which quota stands in `sgasa_items.py`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from guidelines import GuidelineSet
from synth.calls.aio import gather_calls
from synth.judges import JUDGES
from synth.judges.refusal import judge_refusal
from synth.recipes.base import Before, Models, Recipe, Step, Train
from synth.recipes.pairs import Pair, by_outcome
from synth.recipes.sgasa_asking import Asker, SgasaOptions
from synth.recipes.sgasa_items import (
    ANSWERS,
    KEPT,
    LABELS,
    RECIPE,
    SAMPLES,
    SIMILARITY,
    answer_items,
    guideline_items,
    prompt_items,
    sample_items,
)
from synth.records import Item, Outcome, Trace, TraceRow
from synth.seeds.near_duplicates import contaminated

DECLINES, COMPLIES, UNDETERMINED = "declines", "complies", "undetermined"  # ours: of an answer
WANTED = {"harmful": DECLINES, "benign": COMPLIES}  # paper
UNWANTED = {"harmful": COMPLIES, "benign": DECLINES}  # paper
STANCES = {"refusal": DECLINES, "partial": DECLINES, "compliance": COMPLIES}  # ours
DECISIONS = {"decline": DECLINES, "help": COMPLIES}  # ours
NAMING = r"\bguide ?lines?\b"  # ours

# Why an answer is not the one taken.
NO_SCORE, OTHER_TAKEN, NAMES = "no score", "another is taken", "names guidelines"  # ours

VERSION = 1  # ours
COPIED, MISMATCHED = "copied", "mismatched"  # ours: of prompts that are not kept


def stance_of(answer: Trace, options: SgasaOptions) -> str:
    """Say what an answer does, from its wording; one that can not be read is `undetermined`.

    So is one that does something else than its own decision says.
    """
    if answer.outcome != Outcome.OK:
        return UNDETERMINED
    if options.refusal_words:
        told = answer.answer.lower()
        declines = any(word.lower() in told for word in options.refusal_words)
        stance = DECLINES if declines else COMPLIES
    else:
        stance = STANCES.get(judge_refusal(answer.answer).verdict, UNDETERMINED)
    decision = answer.payload.get("decision")
    return stance if decision is None or DECISIONS[decision] == stance else UNDETERMINED


async def choose(item: Item, answers: Sequence[Trace], asker: Asker) -> list[Trace]:
    """Return the answers, their payloads telling `stance`, `score` and `why_not`.

    Taken is, of a harmful prompt's, the first that declines; of a benign one's, the first of
    those with the best score that the model itself gives. A score that can not be read is none.
    """
    told = [_first_look(answer, item.seed.label, asker.options) for answer in answers]
    fitting = [place for place, about in enumerate(told) if about["why_not"] is None]
    if item.seed.label == "benign":
        asked = (asker.score(item.seed.prompt, answers[place].answer) for place in fitting)
        for place, score in zip(fitting, await gather_calls(asked), strict=True):
            told[place] |= {"score": score, "why_not": NO_SCORE if score is None else None}
        scored = [place for place in fitting if told[place]["score"] is not None]
        fitting = sorted(scored, key=lambda place: -told[place]["score"])
    for place in fitting[1:]:
        told[place]["why_not"] = OTHER_TAKEN
    # Rows beyond the quotas are left out for diversity, of labels as well.
    categories = [item.seed.category, item.seed.label]
    return [
        replace(answer, payload={**answer.payload, **about, "categories": categories})
        for answer, about in zip(answers, told, strict=True)
    ]


def why_not(row: TraceRow) -> str | None:
    """Say why an answer is not taken; None where it is."""
    return json.loads(row["payload"])["why_not"]


def ended_well(row: TraceRow) -> bool | None:
    """Say whether an answer is the one taken, or one that does what its label forbids.

    None for all others: they are in no pair.
    """
    about = json.loads(row["payload"])
    if about["why_not"] is None:
        return True
    return False if about["stance"] == UNWANTED[row["label"]] else None


def _first_look(answer: Trace, label: str, options: SgasaOptions) -> dict[str, Any]:
    stance, why = stance_of(answer, options), None
    if stance != WANTED[label]:
        why = stance
    elif options.forbid_naming and _names_guidelines(answer):
        why = NAMES
    return {"stance": stance, "score": None, "why_not": why}


def _names_guidelines(answer: Trace) -> bool:
    texts = (answer.reasoning, answer.answer)
    return any(re.search(NAMING, text, re.IGNORECASE) for text in texts)


async def write_guideline(
    item: Item, models: Models, _: GuidelineSet | None, *, options: SgasaOptions
) -> list[Trace]:
    """Write a guideline from examples and verify it on the same: one trace, the guideline."""
    asker, examples = Asker(models.target, models, options), item.payload["examples"]
    guideline = await asker.guideline(examples)
    answers = await gather_calls(
        asker.sample_guided(guideline.answer, example["prompt"]) for example in examples
    )
    verdicts = [
        {"seed_id": e["seed_id"], "label": e["label"], "stance": stance_of(answer, options)}
        for e, answer in zip(examples, answers, strict=True)
    ]
    passed = sum(verdict["stance"] == WANTED[verdict["label"]] for verdict in verdicts)
    verified = passed / len(verdicts) >= options.verify_share
    return [replace(guideline, payload={"verdicts": verdicts, "verified": verified})]


async def write_prompt(
    item: Item, models: Models, _: GuidelineSet | None, *, options: SgasaOptions
) -> list[Trace]:
    """Write a prompt like the examples shown, and label it: one trace, the prompt."""
    asker, shown = Asker(models.target, models, options), item.payload["shown"]
    written = await asker.prompt(item.seed.label, shown)
    others = {str(place): text for place, text in enumerate(shown)}
    if contaminated({"new": written.answer}, others, SIMILARITY):
        return [replace(written, payload={"verdict": COPIED})]
    label = await asker.label(written.answer)
    verdict = KEPT if label == item.seed.label else MISMATCHED
    return [replace(written, payload={"verdict": verdict})]


async def answer_guided(
    item: Item, models: Models, _: GuidelineSet | None, *, options: SgasaOptions
) -> list[Trace]:
    """Answer a prompt several times under a guideline, and choose: a trace for each answer."""
    asker, guideline = Asker(models.target, models, options), item.payload["guideline"]
    asked = (asker.sample_guided(guideline, item.seed.prompt) for _ in range(options.responses))
    return await choose(item, await gather_calls(asked), asker)


async def sample_student(
    item: Item, models: Models, _: GuidelineSet | None, *, options: SgasaOptions
) -> list[Trace]:
    """Let the trained model answer a prompt alone, and choose: a trace for each answer."""
    asker = Asker(models.student, models, options)
    asked = (asker.sample(item.seed) for _ in range(options.responses))
    return await choose(item, await gather_calls(asked), asker)


def due_answers(before: Before, *, options: SgasaOptions) -> Iterator[Item]:
    """Yield prompts to answer, until enough have an answer that is taken."""
    met = {row["seed_id"] for row in before.traces(ANSWERS) if why_not(row) is None}
    yield from answer_items(before, met, options=options)


def due_samples(before: Before, *, options: SgasaOptions) -> Iterator[Item]:
    """Yield prompts for the student, until enough have a pair."""
    met = {pair.seed_id for pair in by_outcome(before.traces(SAMPLES), ended_well, per_seed=1)}
    yield from sample_items(before, met, options=options)


def pairs(rows: Sequence[TraceRow], *, options: SgasaOptions) -> list[Pair]:
    """Return one pair a prompt, the answer taken over one that its label forbids, up to quotas.

    A prompt whose answers do not differ in this has none.
    """
    found = by_outcome((row for row in rows if row["step"] == SAMPLES), ended_well, per_seed=1)
    taken: list[Pair] = []
    for label in LABELS:
        of_label = sorted((p for p in found if p.label == label), key=lambda pair: pair.row_id)
        taken += of_label[: getattr(options.dpo, label)]
    return taken


def sgasa(options: SgasaOptions) -> Recipe:
    """Return SGASA with these options."""
    steps = (
        Step(
            partial(write_guideline, options=options),
            items=partial(guideline_items, options=options),
            roles=("target",),
        ),
        Step(
            partial(write_prompt, options=options),
            items=partial(prompt_items, options=options),
            roles=("target",),
        ),
        Step(
            partial(answer_guided, options=options),
            items=partial(due_answers, options=options),
            roles=("target",),
        ),
        Train(name="sft", kind="sft"),
        Step(
            partial(sample_student, options=options),
            items=partial(due_samples, options=options),
            roles=("student",),
            student="sft",
        ),
        Train(name="dpo", kind="dpo", pairs=partial(pairs, options=options)),
    )
    return Recipe(
        name=RECIPE,
        version=VERSION,
        steps=steps,
        shares=(
            "synth.judges.base",
            "synth.recipes.srg",
            "synth.recipes.surgery",
            "synth.seeds.near_duplicates",
        ),
        judges=(JUDGES["refusal_rules"],),
        needs={"target": frozenset() if options.native_thought else frozenset({"regex"})},
        guided=False,
        options=options,
        configure=sgasa,
        keep=why_not,
        max_rows=options.sft.harmful + options.sft.benign,
    )


SGASA = sgasa(SgasaOptions())
