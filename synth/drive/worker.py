"""The Ray Core actor around a `Runner`. This leaf imports Ray."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError

from synth import storage
from synth.calls.snapshot import Snapshot
from synth.cluster.joining import CALL_PATH
from synth.cluster.metrics import WorkerMetrics
from synth.cluster.room import Demand, unless_hopeless
from synth.config.schema import Labels
from synth.drive.drive import LeaseEnd
from synth.drive.runner import Runner, Work
from synth.errors import RunFault
from synth.workspace.plan import Lease

log = logging.getLogger(__name__)

WORKER_CPUS = 0.1  # a worker waits for engines; its share of a core is small
MAX_OPEN_CALLS = 10_000  # leases, room and snapshots at once in one worker
SNAPSHOT_TIMEOUT_S = 5.0
MAX_DEATHS = 20  # of one worker in a row without a finished lease
RESTART_POLL_S = 0.2


class WorkerActor:
    """One worker process."""

    def __init__(self, work: Work, index: int, run: str, stage: str) -> None:
        storage.use(work.storage)
        self._runner = Runner(work, index)
        self._metrics = WorkerMetrics(run, stage)

    async def ready(self) -> None:
        """Return once the worker runs."""

    async def room(self) -> None:
        """See `Runner.room`."""
        await self._runner.room()

    async def run(self, lease: Lease, alone: bool) -> LeaseEnd:
        """See `Runner.run`."""
        started = time.monotonic()
        end = await self._runner.run(lease, alone)
        if not end.suspects:
            self._metrics.lease_ended(time.monotonic() - started)
        return end

    async def drain(self) -> None:
        """See `Runner.drain`."""
        await self._runner.drain()

    async def snapshot(self) -> Snapshot:
        """See `Runner.snapshot`; asked about once a second, which is when metrics are fed."""
        found = await self._runner.snapshot()
        self._metrics.look(found)
        return found


class RayWorker:
    """A driver's handle to one worker that Ray restarts: asks again what a death lost."""

    def __init__(self, actor: Any, name: str, start_timeout_s: float) -> None:
        self._actor, self._name, self._start_timeout_s = actor, name, start_timeout_s
        self._deaths = 0
        self._restart: asyncio.Task[None] | None = None

    async def room(self) -> None:
        """Wait until the worker should be given another lease."""
        while True:
            try:
                return await self._actor.room.remote()
            except RayActorError as death:
                await self._restarted(death)

    async def run(self, lease: Lease, alone: bool = False) -> LeaseEnd:
        """Run `lease`; a worker's death starts it over, for its file does not exist."""
        while True:
            try:
                end = await self._actor.run.remote(lease, alone)
            except RayActorError as death:
                await self._restarted(death)
            else:
                self._deaths = 0
                return end

    async def drain(self) -> None:
        """Have the worker close its open leases."""
        await self._actor.drain.remote()

    async def snapshot(self) -> Snapshot | None:
        """Return the worker's live numbers; None while it restarts or does not answer."""
        try:
            async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
                return await self._actor.snapshot.remote()
        except (RayActorError, TimeoutError):
            return None

    async def ready(self) -> None:
        """Wait for the worker's process, however often it dies before it answers.

        Raises:
            RunFault: It did not come within the deadline.
            RayActorError: It can not start.
        """
        try:
            async with asyncio.timeout(self._start_timeout_s):
                while not await self._answers():  # noqa: ASYNC110 - another process comes up
                    await asyncio.sleep(RESTART_POLL_S)
        except TimeoutError:
            raise RunFault(
                f"{self._name} did not start within {self._start_timeout_s:.0f} s: the cluster "
                f"has no {WORKER_CPUS} CPU to give it"
            ) from None

    async def _answers(self) -> bool:
        try:
            await self._actor.ready.remote()
        except RayActorError as death:
            if death.actor_init_failed:
                raise
            return False
        return True

    async def _restarted(self, death: RayActorError) -> None:
        """Wait for the next process. All open calls notice a death; it counts once."""
        if self._restart is None:
            self._restart = asyncio.create_task(self._start_again(death))
            self._restart.add_done_callback(self._note_restart)
        await asyncio.shield(self._restart)

    async def _start_again(self, death: RayActorError) -> None:
        self._deaths += 1
        log.warning("%s died (%d), its open leases start over: %s", self._name, self._deaths, death)
        if self._deaths > MAX_DEATHS:
            raise RunFault(f"{self._name} died {self._deaths} times without progress") from death
        await self.ready()

    def _note_restart(self, task: asyncio.Task[None]) -> None:
        self._restart = None


def start_workers(
    work: Work,
    start_timeout_s: float,
    *,
    run: str = "",
    stage: str = "",
    labels: Labels | None = None,
) -> list[RayWorker]:
    """Start `work.num_workers` worker actors on the cluster.

    Args:
        work: What they do.
        start_timeout_s: Each must answer within this.
        run: Digest of the run, for metrics.
        stage: What they work on, for metrics.
        labels: Of the nodes they may run on.
    """
    actor_class = ray.remote(WorkerActor).options(
        num_cpus=WORKER_CPUS,
        label_selector=labels or None,
        runtime_env={"env_vars": CALL_PATH},
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=MAX_OPEN_CALLS,
    )
    return [
        RayWorker(actor_class.remote(work, index, run, stage), f"worker {index}", start_timeout_s)
        for index in range(work.num_workers)
    ]


async def until_ready(workers: Sequence[RayWorker], labels: Labels) -> None:
    """Wait until all workers run.

    Raises:
        BadInput: The cluster can never hold them.
        RunFault: One did not come within its deadline.
    """
    wanted = Demand(
        bundle={"CPU": WORKER_CPUS},
        labels=labels,
        count=len(workers),
        fields={
            "CPU": "limits.workers",
            "count": "limits.workers",
            "labels": "limits.worker_labels",
        },
    )

    async def ready() -> None:
        await asyncio.gather(*(worker.ready() for worker in workers))

    await unless_hopeless(ready(), [wanted])


def stop_workers(workers: Sequence[RayWorker]) -> None:
    """End the worker processes."""
    for worker in workers:
        ray.kill(worker._actor, no_restart=True)
