"""The account of one try: calls, tokens, and the engines that died under it."""

import asyncio
import math
import time
from dataclasses import dataclass, field

from synth.calls.usage import Usage
from synth.errors import EngineDied, GuideweaveError, Poison
from synth.records import Reply

SUSPECT_DEATHS = 2  # engine deaths in flight that make a row a suspect


class Suspect(GuideweaveError):
    """The row was in flight at two engine deaths: it waits, to run alone."""


@dataclass(slots=True)
class Meter:
    """The account of one try of an item."""

    step: int = 0
    alone: bool = False
    started_at: float = field(default_factory=time.monotonic)
    calls: int = 0
    output_tokens: int = 0
    engine_deaths: int = 0
    last_death_at: float = -math.inf
    last_raw: str = ""
    waiting_for: str = "its first call"
    usage: dict[str, Usage] = field(default_factory=dict)

    def book(self, role: str, reply: Reply) -> None:
        """Add an answered call."""
        self.calls += 1
        self.output_tokens += reply.output_tokens
        if reply.score is None:
            self.last_raw = reply.text
        self.usage.setdefault(role, Usage()).add(reply)

    def engine_died(self, fault: EngineDied, began_at: float) -> None:
        """Count an engine's death while a call of this row was in flight.

        A row of several calls at once sees one death in each of them; it counts once.

        Args:
            fault: The death.
            began_at: When the call began, on the loop's clock.

        Raises:
            Poison: The row ran alone, so the deaths are its own.
            Suspect: The row has to run alone before it can be judged.
        """
        if began_at <= self.last_death_at:
            return
        self.last_death_at = loop_time()
        self.engine_deaths += 1
        if self.engine_deaths < SUSPECT_DEATHS:
            return
        if self.alone:
            raise Poison(f"killed an engine {SUSPECT_DEATHS} times while alone: {fault}")
        raise Suspect(str(fault))


def loop_time() -> float:
    """Return the time on the running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()
