"""What the searches share: how a turn is rated by its steps, and what a search hands back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from synth.calls.together import together
from synth.chat import Score
from synth.recipes.completion import completion_text
from synth.recipes.steps import OUTPUT_CLOSE, STEP_CLOSE
from synth.records import Message, Reply

Aggregate = Literal["last", "min", "mean"]

STEP_ENDS = (STEP_CLOSE, OUTPUT_CLOSE)
_END = re.compile("|".join(map(re.escape, STEP_ENDS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search settled on.

    Attributes:
        reply: The chosen turn, as if the student had been asked for it alone.
        facts: How it was found (JSON data): `search`, `candidates` (turns or steps that were
            written), `scores` of those it was chosen from, `score` of the chosen, and
            `output_tokens` of all of them.
    """

    reply: Reply
    facts: Mapping[str, Any]


def aggregate_scores(scores: Sequence[float], how: Aggregate) -> float:
    """Return the value of a turn from the scores of its steps, in their order."""
    if how == "last":
        return scores[-1]
    return min(scores) if how == "min" else fmean(scores)


async def rate(reward: Score, messages: Sequence[Message], text: str, how: Aggregate) -> float:
    """Return what `reward` makes of `text` as the turn after `messages`.

    `last` asks once, about the whole; the others once for every beginning that ends with a step.
    """
    ends = [len(text)] if how == "last" else step_ends(text)
    scores = await together(reward.score(begun(messages, text[:end])) for end in ends)
    return aggregate_scores(scores, how)


def step_ends(text: str) -> list[int]:
    """Return where each marked part of `text` ends, and where the text does."""
    ends = [match.end() for match in _END.finditer(text)]
    rest = text[ends[-1] :] if ends else text
    return ends if ends and not rest.strip() else [*ends, len(text)]


def begun(messages: Sequence[Message], text: str) -> list[Message]:
    """Return the conversation whose assistant has written `text` so far."""
    if not text:
        return list(messages)
    return [*messages, Message(role="assistant", content=text)]


def whole_text(reply: Reply) -> str:
    """Return the turn as the student wrote it, its reasoning back in its tags."""
    if not reply.reasoning:
        return reply.text
    return completion_text("think", reply.reasoning, reply.text)
