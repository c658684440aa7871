"""The shape of a recipe: a list of steps, a step one async function over one item."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from guidelines import GuidelineSet
from synth.chat import Ability, Chat, Reply, Sampling
from synth.errors import Unparsed
from synth.records import Item, Trace

Format = Literal["think", "answer"]


class Models(Protocol):
    """What a step may call: one chat a role, by attribute, and the run's own sampling."""

    sampling: Sampling
    format_retries: int

    def __getattr__(self, role: str) -> Chat:
        """Return the chat of `role` (`teacher`, `judge`, `guard`, `student`)."""
        ...


StepFunction = Callable[[Item, Models, GuidelineSet | None], Awaitable[list[Trace]]]
ItemsFunction = Callable[[Sequence[Mapping[str, Any]]], Iterable[Item]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        run: The async function over one item.
        items: Makes this step's items from the finished traces (rows) of the step before;
            None for a first step, whose items are the seeds.
    """

    run: StepFunction
    items: ItemsFunction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A method of making data.

    Attributes:
        name: Its key in the table, and the arm's name.
        version: Raised by hand when a change would alter the text of a row.
        steps: What runs, in order.
        needs: Abilities each role's chat must have.
        format: `think`: reasoning, then the answer; `answer`: the answer alone.
        guided: Whether items are conditioned on a guideline set.
    """

    name: str
    version: int
    steps: tuple[Step, ...]
    needs: Mapping[str, frozenset[Ability]] = field(default_factory=dict)
    format: Format = "think"
    guided: bool = True


async def ask_until(
    ask: Callable[[], Awaitable[Reply]], parse: Callable[[Reply], Trace | None], models: Models
) -> Trace:
    """Call `ask` until `parse` can read the reply: once, and `models.format_retries` times more.

    Raises:
        Unparsed: No reply had the asked form; the last one is kept, with whether it was cut.
    """
    for retries_left in range(models.format_retries, -1, -1):
        reply = await ask()
        if (trace := parse(reply)) is not None:
            return trace
        if not retries_left:
            cut = reply.finish_reason == "length"
            raise Unparsed("no reply had the asked form", raw=reply.text, truncated=cut)
    raise AssertionError("the loop returns or raises")
