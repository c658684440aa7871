"""Test-time search: several answers, or several next steps, and a reward model that chooses.

After STAIR (arXiv 2502.02384, test-time scaling): a process reward model, trained on the values of
search trees, picks the best of n answers, or steers a beam of steps: a few beginnings of an answer,
each continued by several next steps, of which the best are kept until all have ended. Neither the
reward model nor the search is in the released code; all constants here are ours.

This is a way to answer. SRG's best of N (`any safe`) is none: it asks in hindsight whether any of N
answers was safe, and stands with the evaluation's metrics.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from synth.calls.aio import gather_calls
from synth.chat import Chat, Score
from synth.config.schema import Positive
from synth.recipes.base import Options
from synth.recipes.surgery import OUTPUT_CLOSE, STEP_CLOSE, completion_text
from synth.records import Message, Reply, Sampling

Aggregate = Literal["last", "min", "mean"]

STEP_ENDS = (STEP_CLOSE, OUTPUT_CLOSE)
_END = re.compile("|".join(map(re.escape, STEP_ENDS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
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


async def rate_text(reward: Score, messages: Sequence[Message], text: str, how: Aggregate) -> float:
    """Return what `reward` makes of `text` as the turn after `messages`.

    `last` asks once, about the whole; the others once for every beginning that ends with a step.
    """
    ends = [len(text)] if how == "last" else step_ends(text)
    scores = await gather_calls(reward.score(begun(messages, text[:end])) for end in ends)
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


class BestOfNOptions(Options):
    """How the best of n answers is found.

    Attributes:
        n: Answers.
        aggregate: An answer's value: the reward model's score of its `last` step, which is that
            of the whole, or the `min` or `mean` over the ends of its steps.
    """

    n: Annotated[int, Field(ge=2)] = 8  # ours
    aggregate: Aggregate = "last"  # ours


class _Candidate(NamedTuple):
    reply: Reply
    score: float

    @property
    def rank(self) -> tuple[bool, float]:
        """Greater is better; a text that was cut stands behind all that ended."""
        return (self.reply.finish_reason != "length", self.score)


async def prm_best_of_n(
    messages: Sequence[Message],
    student: Chat,
    reward: Score,
    sampling: Sampling,
    options: BestOfNOptions,
) -> SearchResult:
    """Return the answer, of `options.n`, that the reward model values most; the first of equals.

    Each answer is scored as soon as it is there, while others are still being written.
    """

    async def candidate() -> _Candidate:
        reply = await student(messages, sampling)
        return _Candidate(
            reply, await rate_text(reward, messages, whole_text(reply), options.aggregate)
        )

    found = await gather_calls(candidate() for _ in range(options.n))
    best = max(found, key=lambda one: one.rank)
    return SearchResult(
        reply=best.reply,
        facts={
            "search": "best_of_n",
            "candidates": len(found),
            "scores": [one.score for one in found],
            "score": best.score,
            "output_tokens": sum(one.reply.output_tokens for one in found),
        },
    )


class BeamOptions(Options):
    """How wide and how deep a beam goes.

    Attributes:
        width: Beginnings that are kept.
        expand: Next steps that are sampled for each of them; `width` times as many first steps.
        depth: Steps of an answer, at most; the last of them runs on to the answer's end.
        aggregate: A beginning's value: the reward model's score of its `last` step, or the `min`
            or `mean` of the scores of all its steps.
    """

    width: Positive = 2  # ours
    expand: Positive = 2  # ours
    depth: Positive = 7  # ours: the depth of the trees that the reward model learned from
    aggregate: Aggregate = "last"  # ours


@dataclass(frozen=True, slots=True)
class _Path:
    """A beginning: its text, the score of each of its steps, and how it ended, if it has."""

    text: str = ""
    scores: tuple[float, ...] = ()
    output_tokens: int = 0
    finish_reason: str | None = None


async def step_beam(
    messages: Sequence[Message],
    student: Chat,
    reward: Score,
    sampling: Sampling,
    options: BeamOptions,
) -> SearchResult:
    """Return the answer that a beam of steps ends with; of equal values, the first.

    An answer may hold `sampling.max_tokens` tokens in all, as one written in one go.

    Args:
        messages: The conversation.
        student: Writes the steps; able to go on from a `prefix` and to `keep_stop`.
        reward: Scores beginnings.
        sampling: Draws the steps.
        options: How wide and how deep.
    """

    async def grow(path: _Path, last: bool) -> _Path:
        step = await student(begun(messages, path.text), _next_step(sampling, path, last))
        text = path.text + whole_text(step)
        score = await reward.score(begun(messages, text))
        return _Path(
            text,
            (*path.scores, score),
            path.output_tokens + step.output_tokens,
            _finish_reason(path, step, sampling, last),
        )

    beam, candidates, tokens = [_Path()] * options.width, 0, 0
    for left in reversed(range(options.depth)):
        going = [path for path in beam if path.finish_reason is None for _ in range(options.expand)]
        grown = await gather_calls(grow(path, last=not left) for path in going)
        candidates += len(grown)
        tokens += _tokens(grown) - _tokens(going)
        ended = [path for path in beam if path.finish_reason is not None]
        beam = _best_first([*ended, *grown], options.aggregate)[: options.width]
        if all(path.finish_reason is not None for path in beam):
            break
    return _found(beam, options.aggregate, candidates, tokens)


def _next_step(sampling: Sampling, path: _Path, last: bool) -> Sampling:
    """Return how the next step is drawn; the last one runs on to the end of the answer."""
    return replace(
        sampling,
        max_tokens=sampling.max_tokens - path.output_tokens,
        stop=() if last else STEP_ENDS,
        keep_stop=not last,
    )


def _finish_reason(path: _Path, step: Reply, sampling: Sampling, last: bool) -> str | None:
    """Return how an answer ended with `step`; None where it goes on."""
    if step.finish_reason == "length":
        return "length"
    if last or not step.text.endswith(STEP_CLOSE):
        return "stop"
    used = path.output_tokens + step.output_tokens
    return None if used < sampling.max_tokens else "length"


def _best_first(paths: Sequence[_Path], how: Aggregate) -> list[_Path]:
    """Return the distinct paths by their value, those that were cut behind all others."""
    distinct: dict[str, _Path] = {}
    for path in paths:
        distinct.setdefault(path.text, path)
    return sorted(
        distinct.values(),
        key=lambda path: (path.finish_reason != "length", aggregate_scores(path.scores, how)),
        reverse=True,
    )


def _tokens(paths: Sequence[_Path]) -> int:
    return sum(path.output_tokens for path in paths)


def _found(beam: Sequence[_Path], how: Aggregate, candidates: int, tokens: int) -> SearchResult:
    best = beam[0]
    assert best.finish_reason is not None, "the last step of a beam runs to an answer's end"
    return SearchResult(
        reply=Reply(
            text=best.text,
            finish_reason=best.finish_reason,
            output_tokens=best.output_tokens,
        ),
        facts={
            "search": "step_beam",
            "candidates": candidates,
            "scores": [aggregate_scores(path.scores, how) for path in beam],
            "score": aggregate_scores(best.scores, how),
            "output_tokens": tokens,
        },
    )
