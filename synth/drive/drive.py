"""The one scheduler: hands leases to workers until none is owed.

It knows leases and workers, nothing of recipes or models. A worker asks for a lease when it
has room; a lease whose worker died starts over; suspects run alone, last.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from synth.calls.snapshot import Snapshot
from synth.workspace.plan import Lease

log = logging.getLogger(__name__)

POLL_S = 1.0
PARTS = 10  # of the rows handed out last: more may be asked for as each comes in
SLOW_ROW_S = 120.0  # a row older than this is named in the log, one a worker and as often


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEnd:
    """How a lease ended in a worker: published, or held back for its suspects."""

    name: str
    suspects: tuple[str, ...] = ()


class LeaseRunner(Protocol):
    """What the scheduler needs of a worker: a `Runner`, or an actor around one."""

    async def room(self) -> None:
        """Return when it should be given another lease."""
        ...

    async def run(self, lease: Lease, alone: bool = False) -> LeaseEnd:
        """Run a lease to its published file."""
        ...

    async def drain(self) -> None:
        """Close the open leases."""
        ...

    async def snapshot(self) -> Snapshot | None:
        """Return live numbers; None while it has none to give."""
        ...


@dataclass(slots=True)
class Progress:
    """The live state of a drive.

    Attributes:
        leases_done: Leases published.
        leases_planned: Leases handed to this drive so far.
        rows_planned: Their rows.
        snapshots: The newest snapshot of every worker.
    """

    leases_done: int = 0
    leases_planned: int = 0
    rows_planned: int = 0
    snapshots: dict[int, Snapshot] = field(default_factory=dict)

    @property
    def outcomes(self) -> Counter[str]:
        """Items by outcome, over all workers."""
        return sum((Counter(s.outcomes) for s in self.snapshots.values()), Counter())

    @property
    def output_tokens(self) -> int:
        """New tokens, over all workers."""
        return sum(s.output_tokens for s in self.snapshots.values())


Refill = Callable[[float], Awaitable[Iterable[Lease]]]
OnProgress = Callable[[Progress], None]


async def nothing_more(open_share: float) -> Iterable[Lease]:
    """The refill of a drive whose leases are all known."""
    return ()


class Drive:
    """One run of the scheduler over a set of workers.

    Args:
        workers: Where leases run.
        leases: What is owed.
        refill: Returns further leases, such as the next round of a quota. It is asked whenever
            another tenth of the rows handed out last is in, and given the share of them that is
            still open. Where none is, and it gives nothing, the drive ends.
        on_progress: Called about once a second.
        drain_s: How long stopping may take.
    """

    def __init__(
        self,
        workers: Sequence[LeaseRunner],
        leases: Iterable[Lease],
        *,
        refill: Refill = nothing_more,
        on_progress: OnProgress = lambda progress: None,
        drain_s: float = 12.0,
    ) -> None:
        self.progress = Progress()
        self._workers, self._refill, self._on_progress = workers, refill, on_progress
        self._drain_s = drain_s
        self._queue: asyncio.Queue[Lease] = asyncio.Queue()
        self._running: set[asyncio.Task[None]] = set()
        self._suspects: list[tuple[LeaseRunner, Lease]] = []
        self._open_rows = 0
        self._lease_ended = asyncio.Event()
        self._handed_out = self._add(leases)

    async def run(self) -> None:
        """Return when every lease is done.

        Raises:
            RunFault: A pool or a worker is beyond waiting for; open leases are closed first.
            asyncio.CancelledError: The caller stopped the drive; open leases are closed first.
        """
        if not self._open_rows:
            return
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        helpers = [self._start(self._feed(worker)) for worker in self._workers]
        helpers += [self._start(self._watch()), self._start(self._go_on())]
        try:
            await self._end
        except BaseException:
            await _cancel(helpers)  # or they would feed workers that are leaving
            await self._close()
            raise
        finally:
            await _cancel(helpers)
            await self._look()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task whose fault ends the drive, at whatever moment."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_fault)
        return task

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) and not self._end.done():
            self._end.set_exception(fault)

    async def _feed(self, worker: LeaseRunner) -> None:
        while True:
            await worker.room()
            self._track(self._run_lease(worker, await self._queue.get()))
            await asyncio.sleep(0)  # the lease is on its way before room is asked for again

    def _track(self, leases: Coroutine[None, None, None]) -> None:
        """Start what runs leases; closing the drive waits for it."""
        task = self._start(leases)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run_lease(self, worker: LeaseRunner, lease: Lease) -> None:
        end = await worker.run(lease)
        self._open_rows -= lease.num_rows
        if end.suspects:
            self._suspects.append((worker, lease))
        else:
            self.progress.leases_done += 1
        self._lease_ended.set()

    async def _go_on(self) -> None:
        """Hand out what the refill gives until it has nothing more and no row is open."""
        rows, part = self._handed_out, PARTS - 1
        while True:
            await self._until_open(rows * part // PARTS)
            still_open = self._open_rows
            if more := self._add(await self._refill(still_open / rows)):
                rows, part = more, PARTS - 1
            elif still_open:
                part = (still_open * PARTS - 1) // rows
            else:
                break
        self._track(self._run_suspects())

    async def _run_suspects(self) -> None:
        """Run the leases that were held back, one after the other, as the last thing there is."""
        for worker, lease in self._suspects:
            log.warning("lease %s: its suspect rows run alone now", lease.name)
            await worker.run(lease, alone=True)
            self.progress.leases_done += 1
        if not self._end.done():
            self._end.set_result(None)

    async def _until_open(self, rows: int) -> None:
        """Wait until no more than so many rows are open."""
        while self._open_rows > rows:
            self._lease_ended.clear()
            await self._lease_ended.wait()

    def _add(self, leases: Iterable[Lease]) -> int:
        """Queue leases; return how many rows they have."""
        rows = 0
        for lease in leases:
            self._queue.put_nowait(lease)
            rows += lease.num_rows
            self.progress.leases_planned += 1
        self._open_rows += rows
        self.progress.rows_planned += rows
        return rows

    async def _watch(self) -> None:
        named_at: dict[int, float] = {}
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()
            now = asyncio.get_running_loop().time()
            for index, snapshot in self.progress.snapshots.items():
                silent_s = now - named_at.get(index, -SLOW_ROW_S)
                if snapshot.oldest_age_s > SLOW_ROW_S and silent_s > SLOW_ROW_S:
                    named_at[index] = now
                    log.warning(
                        "row %s is stuck at step %d: %.0f s old, waits for %s",
                        snapshot.oldest_row,
                        snapshot.oldest_step,
                        snapshot.oldest_age_s,
                        snapshot.oldest_waits_for,
                    )

    async def _look(self) -> None:
        for index, worker in enumerate(self._workers):
            if (snapshot := await worker.snapshot()) is not None:
                self.progress.snapshots[index] = snapshot
        self._on_progress(self.progress)

    async def _close(self) -> None:
        """Have the workers close their open leases, within `drain_s`."""
        log.info("closing %d open leases", len(self._running))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                drains = (worker.drain() for worker in self._workers)
                for fault in await asyncio.gather(*drains, return_exceptions=True):
                    if fault is not None:
                        log.warning("a worker could not close its leases: %r", fault)
                await asyncio.gather(*self._running, return_exceptions=True)
        await _cancel(self._running)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
