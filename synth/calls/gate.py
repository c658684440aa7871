"""Who may call a pool now: as many calls as it has room for, and none while it rests.

A server's room is found the way TCP finds a path's (Chiu and Jain, 1989; RFC 5681): while calls
are answered the limit grows by a constant a round trip, and when one is refused for want of room
it shrinks by a factor, and nothing is sent for a while. `Capacity` is that arithmetic, on times
that are handed in; `Gate` lets calls wait for it.
"""

import asyncio
import contextlib
import heapq
import itertools
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from random import Random

from synth.errors import CapacityFault

SHRINK = 0.7  # ours, between TCP's 0.5 and what is too timid to end a storm
GROWTH = 1 / 32  # ours: of the bound, a round trip; from 0.7 to the whole in about ten
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0  # where the server names none

Ticket = tuple[int, int]  # a call's place in the queue: the smallest goes first


@dataclass(slots=True)
class Capacity:
    """The state of one pool's limit.

    Calls that began before the last decrease say nothing about the limit it set: of a storm of
    refusals the first one counts, and their answers make nothing grow.

    Attributes:
        most: The bound. The limit starts here: it is what the configuration says is allowed.
        limit: Calls that may be open now; the whole part counts.
        paused_until: No call begins before this time.
    """

    most: int
    limit: float = field(init=False)
    paused_until: float = field(default=-math.inf, init=False)
    _shrunk_at: float = field(default=-math.inf, init=False)
    _unanswered: int = field(default=0, init=False)  # decreases since the last answer
    _random: Random = field(default_factory=Random, init=False)

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    def answered(self, began_at: float, full: bool) -> None:
        """Note an answer.

        Args:
            began_at: When its call began.
            full: Whether the limit was reached: unused room proves nothing about more.
        """
        if began_at < self._shrunk_at:
            return
        self._unanswered = 0
        if full:
            step = max(1.0, GROWTH * self.most)
            self.limit = min(float(self.most), self.limit + step / self.limit)

    def refused(
        self, began_at: float, now: float, open_calls: int, retry_after_s: float | None
    ) -> None:
        """Note that a call found no room.

        Args:
            began_at: When it began.
            now: The time.
            open_calls: Calls in flight, this one among them.
            retry_after_s: The pause that the server names; it is never cut short.
        """
        if retry_after_s is not None:
            self._pause(now + retry_after_s)
        if began_at < self._shrunk_at:
            return
        self.limit = max(1.0, SHRINK * min(self.limit, open_calls))
        self._shrunk_at = now
        if retry_after_s is None or retry_after_s < FIRST_PAUSE_S:
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._unanswered, 10))
            self._pause(now + longest * self._random.uniform(0.5, 1.0))
        self._unanswered += 1

    def _pause(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)


class Gate:
    """Admits a bounded number of calls to a pool, those of rows nearest their end first.

    The bound shrinks when the pool says that it is full, and grows back while it answers. A
    worker has one a pool, which all roles of the pool share.
    """

    def __init__(self, limit: int) -> None:
        self.open_calls = self._resting = 0
        assert limit > 0, "a gate that admits nobody would be waited for without an end"
        self._capacity = Capacity(limit)
        self._waiting: list[tuple[Ticket, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._end_of_pause: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> int:
        """Calls that may be open now."""
        return int(self._capacity.limit)

    @property
    def queued(self) -> int:
        """Calls that wait for admission, or for a pause to end."""
        return len(self._waiting) + self._resting

    @property
    def pause_left_s(self) -> float:
        """Seconds before which no call begins."""
        return max(0.0, self._capacity.paused_until - asyncio.get_running_loop().time())

    def ticket(self, calls_done: int) -> Ticket:
        """Return a call's place: before rows that have made fewer calls, after earlier ones.

        A call that is refused comes back with the same one, and goes before those not yet tried.
        """
        return (-calls_done, next(self._order))

    @contextlib.asynccontextmanager
    async def slot(self, ticket: Ticket) -> AsyncIterator[None]:
        """Hold one of the slots, when it is the turn of `ticket`.

        What leaves the slot tells how the pool does: an answer, a `CapacityFault`, or another
        fault, which says nothing about its room. To wait a pause out, leave the slot first.
        """
        if self._waiting or not self._has_room():
            await self._wait(ticket)
        else:
            self.open_calls += 1
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            yield
        except CapacityFault as fault:
            self._capacity.refused(began_at, clock(), self.open_calls, fault.retry_after_s)
            raise
        else:
            self._capacity.answered(began_at, full=self.open_calls >= self.limit)
        finally:
            self.open_calls -= 1
            self._admit()

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Count as queued, while a refused call waits for the end of the pause."""
        self._resting += 1
        try:
            yield
        finally:
            self._resting -= 1

    def _has_room(self) -> bool:
        return self.open_calls < self.limit and not self.pause_left_s

    async def _wait(self, ticket: Ticket) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.open_calls -= 1  # a slot was handed over just as this row was cancelled
                self._admit()
            raise

    def _admit(self) -> None:
        """Hand free slots to those who wait; while the pool rests, come back at the end of it."""
        while self._waiting and self._has_room():
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self.open_calls += 1
                turn.set_result(None)
        if self._waiting and self.pause_left_s and self._end_of_pause is None:
            loop = asyncio.get_running_loop()
            self._end_of_pause = loop.call_at(self._capacity.paused_until, self._wake)

    def _wake(self) -> None:
        self._end_of_pause = None
        self._admit()
