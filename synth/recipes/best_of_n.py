"""The best of n answers, by a process reward model (STAIR, arXiv 2502.02384)."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from synth.calls.together import together
from synth.chat import Chat, Score
from synth.recipes.base import Options
from synth.recipes.rating import Aggregate, Found, rate, whole_text
from synth.records import Message, Reply, Sampling


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
) -> Found:
    """Return the answer, of `options.n`, that the reward model values most; the first of equals.

    Each answer is scored as soon as it is there, while others are still being written.
    """

    async def candidate() -> _Candidate:
        reply = await student(messages, sampling)
        return _Candidate(reply, await rate(reward, messages, whole_text(reply), options.aggregate))

    found = await together(candidate() for _ in range(options.n))
    best = max(found, key=lambda one: one.rank)
    return Found(
        reply=best.reply,
        facts={
            "search": "best_of_n",
            "candidates": len(found),
            "scores": [one.score for one in found],
            "score": best.score,
            "output_tokens": sum(one.reply.output_tokens for one in found),
        },
    )
