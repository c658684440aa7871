"""What stands between a step and a chat: admission, patience with pools, and accounting."""

import asyncio
import contextlib
import heapq
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from synth.chat import Ability, Chat, Message, Reply, Sampling
from synth.errors import CapacityFault, EngineDied, GuideweaveError, Poison, PoolDown, PoolFault

SUSPECT_DEATHS = 2  # engine deaths in flight that make a row a suspect
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


class Suspect(GuideweaveError):
    """The row was in flight at two engine deaths: it waits, to run alone."""


class Gate:
    """Admits a bounded number of calls, those of rows nearest their end first."""

    def __init__(self, limit: int) -> None:
        self.limit, self.open_calls = limit, 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @property
    def queued(self) -> int:
        """Calls that wait for admission."""
        return len(self._waiting)

    @contextlib.asynccontextmanager
    async def slot(self, calls_done: int) -> AsyncIterator[None]:
        """Hold one of the slots; rows that have made more calls go first."""
        if self.open_calls >= self.limit:
            await self._wait(calls_done)
        else:
            self.open_calls += 1
        try:
            yield
        finally:
            self._release()

    async def _wait(self, calls_done: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        entry = (-calls_done, next(self._order), turn)
        heapq.heappush(self._waiting, entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the slot was handed over just as this row was cancelled
            raise

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)  # the slot passes on; `open_calls` stays
                return
        self.open_calls -= 1


@dataclass(slots=True)
class PoolHealth:
    """When a pool last answered, as one worker saw it.

    Attributes:
        deadline_s: Without an answer for so long, while a call waits, the pool is down.
        answered_at: Monotonic time of the last answer, or of the first call that waited.
    """

    deadline_s: float
    answered_at: float | None = None
    last_fault: str = ""

    def waited(self, role: str, fault: PoolFault) -> None:
        """Note a fault.

        Raises:
            PoolDown: Nothing was answered within the deadline.
        """
        self.last_fault = f"{type(fault).__name__}: {fault}"
        now = time.monotonic()
        if self.answered_at is None:
            self.answered_at = now
        if now - self.answered_at > self.deadline_s:
            raise PoolDown(
                f"the {role} pool has answered nothing for {self.deadline_s:.0f} s; "
                f"its last fault: {self.last_fault}"
            )


@dataclass(slots=True)
class Meter:
    """The account of one try of an item."""

    alone: bool = False
    started_at: float = field(default_factory=time.monotonic)
    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    engine_deaths: int = 0
    last_raw: str = ""
    waiting_for: str = "its first call"

    def book(self, reply: Reply) -> None:
        """Add an answered call."""
        self.calls += 1
        self.prompt_tokens += reply.prompt_tokens
        self.output_tokens += reply.output_tokens
        self.last_raw = reply.text

    def engine_died(self, fault: EngineDied) -> None:
        """Count an engine's death while this row was in flight.

        Raises:
            Poison: The row ran alone, so the deaths are its own.
            Suspect: The row has to run alone before it can be judged.
        """
        self.engine_deaths += 1
        if self.engine_deaths < SUSPECT_DEATHS:
            return
        if self.alone:
            raise Poison(f"killed an engine {SUSPECT_DEATHS} times while alone: {fault}")
        raise Suspect(str(fault))


@dataclass(frozen=True, slots=True)
class MeteredChat:
    """One row's view of a pool: waits its turn, waits out the pool's faults, keeps account."""

    role: str
    chat: Chat
    gate: Gate
    health: PoolHealth
    meter: Meter

    @property
    def can(self) -> frozenset[Ability]:
        """The chat's abilities."""
        return self.chat.can

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`; see `Chat`."""
        self.meter.waiting_for = f"a slot of the {self.role} pool"
        async with self.gate.slot(self.meter.calls):
            self.meter.waiting_for = f"the {self.role} pool"
            reply = await self._patiently(messages, sampling)
        self.meter.book(reply)
        self.meter.waiting_for = "its next call"
        return reply

    async def _patiently(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        for attempt in itertools.count():
            try:
                reply = await self.chat(messages, sampling)
            except PoolFault as fault:
                if isinstance(fault, EngineDied):
                    self.meter.engine_died(fault)
                self.health.waited(self.role, fault)
                await asyncio.sleep(_pause_s(attempt, fault))
            else:
                self.health.answered_at = time.monotonic()
                return reply
        raise AssertionError("itertools.count ends never")


def _pause_s(attempt: int, fault: PoolFault) -> float:
    if isinstance(fault, CapacityFault) and fault.retry_after_s is not None:
        return fault.retry_after_s
    ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 10))
    return ceiling * random.uniform(0.5, 1.0)


class MeteredModels:
    """The `Models` of one try: chats by role, each behind this row's meter."""

    def __init__(
        self, chats: dict[str, MeteredChat], sampling: Sampling, format_retries: int
    ) -> None:
        self._chats = chats
        self.sampling = sampling
        self.format_retries = format_retries

    def __getattr__(self, role: str) -> MeteredChat:
        if role.startswith("_") or role not in self._chats:
            raise AttributeError(f"no model has the role {role!r}; known: {sorted(self._chats)}")
        return self._chats[role]
