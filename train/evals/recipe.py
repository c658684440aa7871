"""The one step of the evaluation: ask the student once, take its text apart."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guidelines import GuidelineSet
from synth.models.families import STEP_TOKENS, Split
from synth.recipes import Models, Recipe, Step
from synth.recipes.completion import take_apart
from synth.recipes.steps import parse_steps, reasoning_text, without_marks
from synth.records import Item, Outcome, Reply, Trace
from train.evals.suites_suites import RECIPE


async def evaluate_step(
    item: Item, models: Models, guidelines: GuidelineSet | None = None
) -> list[Trace]:
    """Return the student's answer to one prompt, without any guideline.

    An item whose payload says `decoding: greedy` is answered without chance.
    """
    sampling = models.sampling
    if item.payload.get("decoding") == "greedy":
        sampling = replace(sampling, temperature=0.0, top_p=1.0, top_k=0)
    return [answer_trace(await models.student(item.seed.messages, sampling))]


def answer_trace(reply: Reply, facts: Mapping[str, Any] | None = None) -> Trace:
    """Return a student's answer as a trace; `facts` say how it was come by."""
    parts = _parts(reply)
    told = {"closed": parts.closed, "finish_reason": reply.finish_reason}
    return Trace(
        reasoning=parts.reasoning,
        answer=parts.answer,
        raw=reply.text,
        payload={**told, **(facts or {})},
        outcome=Outcome.TRUNCATED if reply.finish_reason == "length" else Outcome.OK,
    )


def _parts(reply: Reply) -> Split:
    """Return the parts of `reply`, whether or not its door has split them already."""
    if not reply.reasoning and any(mark in reply.text for mark in STEP_TOKENS):
        return _split_steps(reply.text)
    return take_apart(reply)


def _split_steps(text: str) -> Split:
    """Return the parts of a text in marked steps; all of it is answer where they are in disorder.

    Then nobody could say which part of it a user would not be shown.
    """
    found = parse_steps(text)
    if found is None:
        return Split("", without_marks(text).strip(), closed=True)
    return Split(reasoning_text(found.steps), found.answer, closed=bool(found.answer))


EVALUATE = Recipe(
    name=RECIPE,
    version=1,
    steps=(Step(evaluate_step, roles=("student",)),),
    needs={"student": frozenset()},
    guided=False,
)
