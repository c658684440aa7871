"""What the replicas answer and the workers run, by dotted path; they learn of a test by its
environment, which Ray's processes inherit."""

import os
from collections.abc import Sequence

from guidelines import GuidelineSet
from synth.chat import Message, Sampling
from synth.recipes.base import Models
from synth.records import Item, Trace

CALLS_FILE = "GUIDEWEAVE_CHAOS_CALLS"  # gets a byte a call that was answered
BROKEN = "GUIDEWEAVE_CHAOS_BROKEN"  # while set, the recipe below has a bug


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer with the question, and leave a mark."""
    with open(os.environ[CALLS_FILE], "ab", buffering=0) as calls:
        calls.write(b".")
    return f"You asked: {messages[-1]['content']}"


async def two_calls(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Two calls, two traces."""
    first = await models.teacher(item.seed.messages, models.sampling)
    second = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="as asked", answer=r.text, raw=r.text) for r in (first, second)]


async def mended(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """A recipe whose bug is mended from outside."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    if BROKEN in os.environ:
        raise ZeroDivisionError("this recipe has a bug")
    return [Trace(reasoning="as asked", answer=reply.text, raw=reply.text)]
