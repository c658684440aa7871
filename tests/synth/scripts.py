"""Steps and scripts that tests name by dotted path, because workers import them."""

import asyncio
from collections.abc import Iterator, Sequence

from guidelines import GuidelineSet
from synth.errors import EngineDied, PoolFault, Unparsed
from synth.recipes.base import Before, Models, Recipe, Step
from synth.records import Item, Message, Sampling, Trace, seed_of

NEEDS = {"teacher": frozenset()}


async def echo(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """One call, one trace."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="as asked", answer=reply.text, raw=reply.text)]


async def broken(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """A recipe with a bug."""
    raise ZeroDivisionError("this recipe has a bug")


async def rambling(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Get a reply that no format fits."""
    raise Unparsed("no format fits it", "words")


def repeat(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer with the question."""
    return f"You asked: {messages[-1]['content']}"


async def slow(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer after a moment."""
    await asyncio.sleep(0.1)
    return repeat(messages, sampling)


def deadly(messages: Sequence[Message], sampling: Sampling) -> str:
    """Kill the engine whenever one certain row is in flight."""
    if "number 7?" in messages[-1]["content"]:
        raise EngineDied("the engine died of this row")
    return repeat(messages, sampling)


def unreachable(messages: Sequence[Message], sampling: Sampling) -> str:
    """A pool that never answers."""
    raise PoolFault("connection refused")


async def draft(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """First of two steps."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="a draft", answer=reply.text, raw=reply.text)]


async def improve(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Second of two steps: works on the draft its item was made from."""
    return [Trace(reasoning="improved", answer=f"Better: {item.payload['draft']}")]


def from_drafts(traces: Before) -> Iterator[Item]:
    """One item a draft."""
    for row in traces:
        yield Item(
            seed=seed_of(row),
            recipe=row["recipe"],
            step=1,
            sample_index=row["sample_index"],
            parents=(row["row_id"],),
            payload={"draft": row["answer"]},
        )


ECHO = Recipe(name="echo", version=1, steps=(Step(echo),), needs=NEEDS, guided=False)

TWO_STEPS = Recipe(
    name="two_steps",
    version=1,
    steps=(Step(draft), Step(improve, items=from_drafts)),
    needs={"teacher": frozenset()},
    guided=False,
)
