"""Beam search over steps, led by a process reward model (STAIR, arXiv 2502.02384).

The beam holds a few beginnings of an answer. Each is continued by several next steps, the reward
model scores what came of them, and the best are kept, until all have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from synth.calls.together import together
from synth.chat import Chat, Score
from synth.config.schema import Positive
from synth.recipes.base import Options
from synth.recipes.rating import STEP_ENDS, Aggregate, Found, aggregate_scores, begun, whole_text
from synth.recipes.steps import STEP_CLOSE
from synth.records import Message, Reply, Sampling


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
) -> Found:
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
        grown = await together(grow(path, last=not left) for path in going)
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


def _found(beam: Sequence[_Path], how: Aggregate, candidates: int, tokens: int) -> Found:
    best = beam[0]
    assert best.finish_reason is not None, "the last step of a beam runs to an answer's end"
    return Found(
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
