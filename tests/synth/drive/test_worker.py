"""The driver's handle to a worker that dies; the actor behind it is a stand-in."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from synth.drive.drive import LeaseEnd
from synth.drive.worker import MAX_DEATHS, RayWorker
from synth.workspace.plan import Lease


class Actor:
    """Dies under every call that is open at one moment, then comes back and does its work."""

    def __init__(self, deaths_at_start: int = 0) -> None:
        self.alive, self.starts_left = False, deaths_at_start
        self.death = asyncio.Event()
        self.run = SimpleNamespace(remote=self._run)
        self.ready = SimpleNamespace(remote=self._ready)

    async def _run(self, lease: Lease, alone: bool) -> LeaseEnd:
        if not self.alive:
            await self.death.wait()
            raise ActorUnavailableError("killed", None)
        return LeaseEnd(name=lease.name)

    async def _ready(self) -> None:
        if self.starts_left:
            self.starts_left -= 1
            raise ActorUnavailableError("killed while it started", None)
        self.alive = True


def leases(count: int) -> list[Lease]:
    return [Lease(f"{index}", 0, index, 16) for index in range(count)]


async def test_one_death_under_many_leases_is_one_death() -> None:
    actor: Any = Actor(deaths_at_start=2)
    worker = RayWorker(actor, "worker 0", 10)
    open_leases = leases(3 * MAX_DEATHS)
    runs = [asyncio.create_task(worker.run(lease)) for lease in open_leases]
    await asyncio.sleep(0)
    actor.death.set()
    ends = await asyncio.gather(*runs)
    assert [end.name for end in ends] == [lease.name for lease in open_leases]


async def test_a_worker_killed_while_it_starts_is_waited_for() -> None:
    actor: Any = Actor(deaths_at_start=1)
    await RayWorker(actor, "worker 0", 10).ready()
    assert actor.alive


async def test_a_worker_that_can_not_start_says_so_at_once() -> None:
    async def fail() -> None:
        error = ActorDiedError()
        error._actor_init_failed = True
        raise error

    actor: Any = SimpleNamespace(ready=SimpleNamespace(remote=fail))
    with pytest.raises(ActorDiedError):
        await RayWorker(actor, "worker 0", 10).ready()
