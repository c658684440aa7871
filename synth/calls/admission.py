"""Who may call a pool now: a number of calls that it has room for, and none while it rests."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Iterator

from synth.calls.capacity import Capacity
from synth.errors import CapacityFault

Ticket = tuple[int, int]


class Gate:
    """Admits a bounded number of calls, those of rows nearest their end first.

    The bound shrinks when the pool says that it is full, and grows back while it answers.
    """

    def __init__(self, limit: int) -> None:
        self.open_calls = self._resting = 0
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
