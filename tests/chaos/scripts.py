"""What the replicas answer and the workers run, by dotted path; they learn of a test by its
environment, which Ray's processes inherit."""

import asyncio
import os
from collections.abc import Sequence
from random import Random

from guidelines import GuidelineSet
from synth.recipes.base import Models
from synth.records import Item, Message, Sampling, Trace
from tests.chaos.calls import CANCELLED, ENDED, POISONED, STARTED, note

LATENCY_S = "GUIDEWEAVE_CHAOS_LATENCY_S"  # of a call, on average
BROKEN = "GUIDEWEAVE_CHAOS_BROKEN"  # while set, the recipe below has a bug
POISON = "which no engine survives"  # a question that holds this ends the process it comes to
CALLS_PER_ROW = 2


async def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer with the question, and leave a mark when a call comes and when it is answered."""
    call = messages[0]["content"]
    note(STARTED, call)
    if POISON in messages[-1]["content"]:
        note(POISONED, call)
        os._exit(1)
    try:
        await asyncio.sleep(float(os.environ.get(LATENCY_S, "0")) * Random(call).uniform(0.4, 1.6))
    except asyncio.CancelledError:
        note(CANCELLED, call)
        raise
    note(ENDED, call)
    return said(call, messages[-1]["content"])


def said(call: str, question: str) -> str:
    """Return what the answer to a call is."""
    return f"You asked, in {call}: {question}"


def call_name(item_id: str, index: int) -> str:
    """Return the name under which an item's call leaves its marks."""
    return f"{item_id}/{index}"


async def two_calls(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Two calls, two traces."""
    replies = []
    for index in range(CALLS_PER_ROW):
        name = Message(role="system", content=call_name(item.item_id, index))
        replies.append(await models.teacher([name, *item.seed.messages], models.sampling))
    return [Trace(reasoning="as asked", answer=r.text, raw=r.text) for r in replies]


async def mended(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """A recipe whose bug is mended from outside."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    if BROKEN in os.environ:
        raise ZeroDivisionError("this recipe has a bug")
    return [Trace(reasoning="as asked", answer=reply.text, raw=reply.text)]
