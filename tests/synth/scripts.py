"""Steps and scripts that tests name by dotted path, because workers import them."""

from collections.abc import Sequence

from guidelines import GuidelineSet
from synth.chat import Message, Sampling
from synth.errors import EngineDied, PoolFault
from synth.recipes.base import Models
from synth.records import Item, Trace

NEEDS = {"teacher": frozenset()}


async def echo(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """One call, one trace."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="as asked", answer=reply.text, raw=reply.text)]


async def broken(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """A recipe with a bug."""
    raise ZeroDivisionError("this recipe has a bug")


def repeat(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer with the question."""
    return f"You asked: {messages[-1]['content']}"


def deadly(messages: Sequence[Message], sampling: Sampling) -> str:
    """Kill the engine whenever one certain row is in flight."""
    if "number 7?" in messages[-1]["content"]:
        raise EngineDied("the engine died of this row")
    return repeat(messages, sampling)


def unreachable(messages: Sequence[Message], sampling: Sampling) -> str:
    """A pool that never answers."""
    raise PoolFault("connection refused")
