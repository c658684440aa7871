"""A run is held by one command at a time, from its start to its end."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synth import storage
from synth.calls.aio import run_until_interrupted
from synth.drive import holder as holding
from synth.drive.drive import Progress
from synth.drive.holder import FRESH_S, hold, progress_path, read_progress
from synth.errors import BadInput, RunFault
from synth.workspace.stage import dump

HERE = socket.gethostname()
ROOT = Path(__file__).parents[3]
HOLD = "import sys, time\nfrom synth.drive.holder import hold\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "BEAT_S", 0.05)


def beat(run: Path, driver: str, *, age_s: float = 1.0, ended: bool = False) -> None:
    """Leave a beat as the first versions did, which did not number holders."""
    body = {"driver": driver, "at": time.time() - age_s, "ended": ended}
    storage.replace(progress_path(str(run)), dump(body))


def last_beat(run: Path) -> dict[str, Any]:
    found = read_progress(str(run))
    assert found is not None
    return found


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if done():
            return
        time.sleep(0.02)
    pytest.fail("it never came to that")


def hold_once(run: Path) -> int:
    """Hold `run` and be done; return which holder that was."""
    with hold(str(run), "test") as holder:
        return holder.number


@pytest.mark.parametrize("driver", [f"{HERE}:{os.getppid()}", "elsewhere:1234"])
def test_a_command_at_work_is_left_alone(tmp_path: Path, driver: str) -> None:
    beat(tmp_path, driver)
    with pytest.raises(BadInput, match="was at work"), hold(str(tmp_path), "test"):
        pytest.fail("held")
    with hold(str(tmp_path), "test", force=True):
        pass


def test_a_killed_command_does_not_hold_its_run(tmp_path: Path) -> None:
    killed = f"{HOLD}with hold(sys.argv[1], 'test'):\n    import os; os._exit(9)\n"
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], cwd=ROOT, check=False)
    assert last_beat(tmp_path)["ended"] is False
    assert hold_once(tmp_path) == 2


def test_an_old_or_ended_command_does_not_hold_its_run(tmp_path: Path) -> None:
    beat(tmp_path, "elsewhere:1234", age_s=FRESH_S + 5)
    assert hold_once(tmp_path) == 1
    beat(tmp_path, "elsewhere:1234", ended=True)
    assert hold_once(tmp_path) == 2
    assert last_beat(tmp_path)["ended"] is True
    assert storage.list_files(f"{tmp_path}/logs/holders") == ["2.json"]


def test_a_beat_from_the_future_holds_nobody_off(tmp_path: Path) -> None:
    beat(tmp_path, "elsewhere:1234", age_s=-1)
    with pytest.raises(BadInput, match="was at work 0 s ago"), hold(str(tmp_path), "test"):
        pytest.fail("held")
    beat(tmp_path, "elsewhere:1234", age_s=-FRESH_S - 60)
    with hold(str(tmp_path), "test"):
        pass


def test_one_that_has_created_its_number_and_not_yet_beaten_holds(tmp_path: Path) -> None:
    beat(tmp_path, "elsewhere:1", ended=True)
    body = {"driver": "elsewhere:2", "at": time.time(), "ended": False}
    storage.publish(f"{tmp_path}/logs/holders/1.json", dump(body))
    last = json.loads(storage.read(progress_path(str(tmp_path))))
    storage.replace(progress_path(str(tmp_path)), dump({**last, "holder": 0}))
    with pytest.raises(BadInput, match="elsewhere:2"), hold(str(tmp_path), "test"):
        pytest.fail("held")


def test_of_commands_that_begin_at_once_one_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have found the run free before any of them takes it."""
    names, drivers = iter(range(1_000)), threading.local()
    num_commands, at_once = 8, threading.Barrier(8)
    monkeypatch.setattr(holding, "_driver", lambda: f"host-{drivers.name}:1")
    looked = holding._refuse_second

    def look_together(run: str, last: int) -> None:
        looked(run, last)
        if last == 0:
            at_once.wait(timeout=30)

    monkeypatch.setattr(holding, "_refuse_second", look_together)

    def take(_: int) -> int | None:
        drivers.name = next(names)
        try:
            return holding._take(str(tmp_path), force=False)
        except BadInput:
            return None

    with ThreadPoolExecutor(num_commands) as pool:
        taken = list(pool.map(take, range(num_commands)))
    assert sorted(number for number in taken if number is not None) == [1]


@pytest.mark.usefixtures("quick")
def test_the_heart_beats_whatever_the_work_is(tmp_path: Path) -> None:
    with hold(str(tmp_path), "engines start"):
        first = last_beat(tmp_path)["at"]
        wait_until(lambda: last_beat(tmp_path)["at"] > first)
        assert last_beat(tmp_path)["stage"] == "engines start"
        assert not last_beat(tmp_path)["ended"]
    assert last_beat(tmp_path)["ended"]


def test_what_holds_within_a_hold_is_a_part_of_it(tmp_path: Path) -> None:
    with hold(str(tmp_path), "run") as outer:
        with hold(f"{tmp_path}/", "synthesize") as inner:
            inner.note(Progress(leases_done=3))
        assert inner is outer
        assert not last_beat(tmp_path)["ended"]
    ended = last_beat(tmp_path)
    assert (ended["ended"], ended["stage"], ended["leases_done"]) == (True, "synthesize", 3)


@pytest.mark.usefixtures("quick")
def test_a_displaced_command_is_interrupted_says_why_and_leaves_the_beat(tmp_path: Path) -> None:
    taker = f"{HOLD}with hold(sys.argv[1], 'taken', force=True):\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", taker, str(tmp_path)]
    owned: list[bool] = []

    def work() -> None:
        with (
            hold(str(tmp_path), "first") as holder,
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as second,
        ):
            try:
                time.sleep(60)
            finally:
                wait_until(lambda: last_beat(tmp_path)["stage"] == "taken")
                owned.append(holder.holds())
                second.kill()

    with pytest.raises(RunFault, match="taken this run over"):
        work()
    assert owned == [False]
    left = last_beat(tmp_path)
    assert (left["stage"], left["holder"], left["ended"]) == ("taken", 2, False)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("asks", [True, False])
def test_a_displaced_coroutine_says_why_whether_it_asks_or_is_interrupted(
    tmp_path: Path, asks: bool
) -> None:
    interrupted: list[bool] = []

    async def work() -> None:
        with hold(str(tmp_path), "test") as holder:
            body = {"driver": "elsewhere:1", "at": time.time(), "ended": False}
            storage.publish(f"{tmp_path}/logs/holders/2.json", dump(body))
            try:
                for _ in range(60_000):
                    await asyncio.sleep(0.001)
                    if asks:
                        holder.note(Progress())
            except asyncio.CancelledError:
                interrupted.append(True)
                raise

    with pytest.raises(RunFault, match="taken this run over"):
        run_until_interrupted(work())
    assert interrupted == ([] if asks else [True])


@pytest.mark.usefixtures("quick")
def test_a_beat_that_can_not_be_written_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, data: bytes) -> None:
        raise OSError("the disk is full")

    def work() -> None:
        with hold(str(tmp_path), "test"):
            monkeypatch.setattr(storage, "replace", fail)
            time.sleep(60)

    with pytest.raises(OSError, match="full"):
        work()


def test_a_heart_beats_on_after_the_clock_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, steady = iter([6_000.0, 5_000.0, 1_000.0]), iter(range(0, 1_000, 10))
    clock = SimpleNamespace(time=lambda: next(wall), monotonic=lambda: float(next(steady)))
    monkeypatch.setattr(holding, "time", clock)
    with hold(str(tmp_path), "test"):
        first = last_beat(tmp_path)
    last = last_beat(tmp_path)
    assert (first["at"], last["at"]) == (5_000.0, 1_000.0)
    assert 0 < first["elapsed_s"] < last["elapsed_s"]
