"""The scheduler in one process: plans, leases, outcomes, resume."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth import storage
from synth.calls import metering
from synth.calls.aio import GivenUp, check_wanted, in_thread
from synth.config.schema import EndpointConfig, Limits, ModelConfig
from synth.drive.drive import Drive, Progress
from synth.drive.runner import MIN_RESERVE, Runner, Work
from synth.errors import PoolDown
from synth.pools.layout import plan_pools
from synth.records import Item, Outcome, Sampling
from synth.synthesize import num_workers
from synth.workspace.leases import lease_path
from synth.workspace.plan import Lease
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items, make_pool
from tests.synth.scripts import repeat


def make_work(workspace: Path, script: str = "repeat", **options: Any) -> Work:
    return Work(
        workspace=str(workspace),
        pools=[make_pool(f"tests.synth.scripts:{script}")],
        sampling=Sampling(),
        fingerprint="f",
        **options,
    )


async def run_all(work: Work, num_workers: int = 2) -> Drive:
    drive = Drive(
        [Runner(work) for _ in range(num_workers)], Workspace(work.workspace).owed(), drain_s=5
    )
    await drive.run()
    return drive


def outcomes(workspace: Path) -> Counter[str]:
    return Counter(Workspace(str(workspace)).traces()["outcome"].to_pylist())


async def test_every_item_ends_in_one_row(tmp_path: Path) -> None:
    items = make_items(100)
    Workspace(str(tmp_path)).publish(items, rows=16)
    drive = await run_all(make_work(tmp_path))
    table = Workspace(str(tmp_path)).traces()
    assert sorted(table["item_id"].to_pylist()) == sorted(item.item_id for item in items)
    assert drive.progress.outcomes == {"ok": 100}
    assert Workspace(str(tmp_path)).rows_by_outcome() == {"ok": 100}
    answers = dict(zip(table["prompt"].to_pylist(), table["answer"].to_pylist(), strict=True))
    assert answers["Question number 3?"] == "You asked: Question number 3?"


async def test_resume_runs_only_what_has_no_file(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.publish(make_items(64), rows=16)
    work = make_work(tmp_path)
    await run_all(work)
    lost = workspace.finished()[1]
    kept = {n: storage.read(lease_path(str(tmp_path), n)) for n in workspace.finished()}
    storage.remove(lease_path(str(tmp_path), lost))
    assert [lease.name for lease in workspace.owed()] == [lost]
    drive = await run_all(work)
    assert drive.progress.outcomes == {"ok": 16}
    for name, data in kept.items():
        if name != lost:
            assert storage.read(lease_path(str(tmp_path), name)) == data


async def test_a_recipe_bug_is_a_failed_row_and_retry_plans_it_again(tmp_path: Path) -> None:
    Workspace(str(tmp_path)).publish(make_items(20, recipe="tests.synth.scripts.broken"))
    await run_all(make_work(tmp_path))
    table = Workspace(str(tmp_path)).traces()
    assert outcomes(tmp_path) == {"failed": 20}
    assert set(table["error"].to_pylist()) == {"ZeroDivisionError: this recipe has a bug"}
    workspace = Workspace(str(tmp_path))
    tries = list(workspace.again([Outcome.FAILED]))
    assert {item.attempt for item in tries} == {1}
    workspace.publish(tries)
    assert list(workspace.again([Outcome.FAILED])) == [], "the next try is planned already"
    mended = {"tests.synth.scripts.broken": "tests.synth.scripts.echo"}
    await run_all(make_work(tmp_path, recipes=mended))
    assert outcomes(tmp_path) == {"ok": 20}
    assert {workspace.plan().last_try(item.item_id) for item in tries} == {1}


async def test_only_the_poison_row_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.001)
    Workspace(str(tmp_path)).publish(make_items(40))
    await run_all(make_work(tmp_path, "deadly"))
    table = Workspace(str(tmp_path)).traces()
    assert outcomes(tmp_path) == {"ok": 39, "failed": 1}
    [error] = [error for error in table["error"].to_pylist() if error]
    assert error.startswith("Poison: ")


async def test_stopping_keeps_finished_rows_and_resume_ends_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter(range(10))
    stuck = asyncio.Event()

    async def slow(self: object, messages: list, sampling: Sampling) -> str:
        if next(turns, None) is None:
            stuck.set()
            await asyncio.sleep(3600)
        return repeat(messages, sampling)

    Workspace(str(tmp_path)).publish(make_items(48), rows=16)
    work = make_work(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("synth.chat.scripted.ScriptedChat._next", slow)
        run = asyncio.create_task(run_all(work, num_workers=1))
        await stuck.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    states = outcomes(tmp_path)
    assert states["ok"] == 10
    assert states["interrupted"] == 16 * len(Workspace(str(tmp_path)).finished()) - 10
    workspace = Workspace(str(tmp_path))
    workspace.publish(workspace.again([Outcome.INTERRUPTED]))
    await run_all(work)
    assert outcomes(tmp_path) == {"ok": 48}


async def test_a_dead_pool_ends_the_run_with_rows_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.01)
    Workspace(str(tmp_path)).publish(make_items(16))
    work = make_work(tmp_path, "unreachable", pool_deadline_s=0.2)
    with pytest.raises(PoolDown, match="teacher pool has answered nothing"):
        await run_all(work)
    assert set(outcomes(tmp_path)) <= {"interrupted"}


async def test_no_worker_hoards_rows_that_another_could_start(tmp_path: Path) -> None:
    Workspace(str(tmp_path)).publish(make_items(1_000), rows=16)
    work = make_work(tmp_path, "slow", num_workers=2)
    work = replace(work, pools=[replace(work.pools[0], max_calls=256)])
    runners = [Runner(work) for _ in range(2)]
    drive = asyncio.create_task(Drive(runners, Workspace(str(tmp_path)).owed()).run())
    most = 0
    while not drive.done():
        await asyncio.sleep(0.001)
        teachers = [(await runner.snapshot()).roles["teacher"] for runner in runners]
        most = max(most, *(teacher.calls_queued for teacher in teachers))
    await drive
    assert 0 < most < MIN_RESERVE + 16


@given(
    limits=st.lists(st.integers(1, 600), min_size=1, max_size=3),
    workers=st.one_of(st.none(), st.integers(0, 9)),
)
def test_the_workers_of_a_drive_share_exactly_the_calls_of_each_pool(
    limits: list[int], workers: int | None
) -> None:
    pools = [
        replace(make_pool("tests.synth.scripts:repeat"), max_calls=max_calls)
        for max_calls in limits
    ]
    count = num_workers(Limits(workers=workers), pools)
    work = replace(make_work(Path("nowhere")), pools=pools, num_workers=count)
    runners = [Runner(work, index) for index in range(count)]
    shares = [[gate.limit for gate in runner._gates] for runner in runners]
    assert [sum(of_pool) for of_pool in zip(*shares, strict=True)] == limits
    assert all(share > 0 for of_worker in shares for share in of_worker)
    assert workers is None or count <= max(1, workers)


def test_roles_of_one_pool_share_its_calls_and_its_health(tmp_path: Path) -> None:
    endpoint = EndpointConfig(base_url="http://host/v1", model="big", max_concurrency=8)
    models = {role: ModelConfig(endpoint=endpoint) for role in ("teacher", "judge", "guard")}
    pools = plan_pools(models, "run", Limits())
    runner = Runner(replace(make_work(tmp_path), pools=pools))
    [gate] = {calls.gate for calls in runner._roles.values()}
    [_] = {id(calls.health) for calls in runner._roles.values()}
    assert (sorted(runner._roles), gate.limit) == (["guard", "judge", "teacher"], 8)


def publish(folder: Path, items: list[Item]) -> list[Lease]:
    """Publish a round of leases of 16 rows."""
    made = Workspace(str(folder)).publish(items, rows=16)
    assert made is not None
    return list(made.leases)


async def test_a_refill_is_asked_as_tenths_come_in_and_the_drive_ends_with_it(
    tmp_path: Path,
) -> None:
    first = publish(tmp_path, make_items(160))
    more = publish(tmp_path, make_items(200)[160:])
    asked: list[float] = []

    async def refill(open_share: float) -> list[Lease]:
        asked.append(open_share)
        await asyncio.sleep(0)
        return more if asked.count(0) == 1 and not open_share else []

    drive = Drive([Runner(make_work(tmp_path))], first, refill=refill)
    await drive.run()
    assert drive.progress.outcomes == {"ok": 200}
    rounds = [asked[: asked.index(0) + 1], asked[asked.index(0) + 1 :]]
    for shares in rounds:
        assert shares == sorted(set(shares), reverse=True), "once at each"
        assert shares[-1] == 0
        assert len(shares) <= 11


async def test_the_drive_goes_on_while_its_refill_works_in_a_thread(tmp_path: Path) -> None:
    leases = publish(tmp_path, make_items(160))
    all_ended = threading.Event()

    async def refill(open_share: float) -> list[Lease]:
        await in_thread(partial(all_ended.wait, 30))
        return []

    def look(progress: Progress) -> None:
        if progress.leases_done == len(leases):
            all_ended.set()

    drive = Drive([Runner(make_work(tmp_path))], leases, refill=refill, on_progress=look)
    await drive.run()
    assert all_ended.is_set()


async def test_a_fault_of_the_refill_ends_the_drive(tmp_path: Path) -> None:
    leases = publish(tmp_path, make_items(160))

    async def refill(open_share: float) -> list[Lease]:
        await in_thread(lambda: 1 // 0)
        return []

    with pytest.raises(ZeroDivisionError):
        await Drive([Runner(make_work(tmp_path))], leases, refill=refill).run()


async def test_a_drive_that_is_stopped_gives_its_refill_up(tmp_path: Path) -> None:
    leases = publish(tmp_path, make_items(160))
    at_work, given_up = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(at_work.set)
        try:
            while True:
                time.sleep(0.01)
                check_wanted()
        except GivenUp:
            given_up.set()
            raise

    async def refill(open_share: float) -> list[Lease]:
        await in_thread(work)
        return []

    drive = asyncio.create_task(Drive([Runner(make_work(tmp_path))], leases, refill=refill).run())
    await at_work.wait()
    drive.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drive
    assert given_up.wait(10)
