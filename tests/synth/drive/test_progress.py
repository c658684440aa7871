"""A run is left to the driver that works on it, unless that one can not be alive."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidelines import BadInput
from synth import storage
from synth.drive.drive import Progress
from synth.drive.progress import (
    FRESH_S,
    Heartbeat,
    progress_path,
    read_progress,
    refuse_second_driver,
)
from synth.workspace.stage import dump

HERE = socket.gethostname()


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def beat(run: Path, driver: str, *, age_s: float = 1.0, ended: bool = False) -> None:
    body = {"driver": driver, "at": time.time() - age_s, "ended": ended}
    storage.replace(progress_path(str(run)), dump(body))


@pytest.mark.parametrize("driver", [f"{HERE}:{os.getppid()}", "elsewhere:1234"])
def test_a_driver_at_work_is_left_alone(tmp_path: Path, driver: str) -> None:
    beat(tmp_path, driver)
    with pytest.raises(BadInput, match="was at work"):
        refuse_second_driver(str(tmp_path), force=False)
    refuse_second_driver(str(tmp_path), force=True)


def test_a_killed_driver_does_not_hold_its_run(tmp_path: Path) -> None:
    beat(tmp_path, f"{HERE}:{dead_pid()}")
    refuse_second_driver(str(tmp_path), force=False)


def test_an_old_or_ended_driver_does_not_hold_its_run(tmp_path: Path) -> None:
    beat(tmp_path, "elsewhere:1234", age_s=FRESH_S + 5)
    refuse_second_driver(str(tmp_path), force=False)
    beat(tmp_path, "elsewhere:1234", ended=True)
    refuse_second_driver(str(tmp_path), force=False)
    refuse_second_driver(str(tmp_path / "new"), force=False)


def test_a_beat_from_the_future_holds_nobody_off(tmp_path: Path) -> None:
    beat(tmp_path, "elsewhere:1234", age_s=-FRESH_S - 60)
    refuse_second_driver(str(tmp_path), force=False)
    beat(tmp_path, "elsewhere:1234", age_s=-1)
    with pytest.raises(BadInput, match="was at work 0 s ago"):
        refuse_second_driver(str(tmp_path), force=False)


def test_a_heart_beats_on_after_the_clock_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, steady = iter([5_000.0, 1_000.0, 900.0]), iter(range(0, 1_000, 10))
    clock = SimpleNamespace(time=lambda: next(wall), monotonic=lambda: float(next(steady)))
    monkeypatch.setattr("synth.drive.progress.time", clock)
    heart = Heartbeat(str(tmp_path), "synthesize", lambda stage, progress: None)
    written = []
    for _ in range(2):
        heart(Progress())
        heart._writing.result()
        written.append(read_progress(str(tmp_path)))
    heart.end(Progress())
    written.append(read_progress(str(tmp_path)))
    beats = [found for found in written if found is not None]
    assert [found["at"] for found in beats] == [5_000.0, 1_000.0, 900.0]
    elapsed = [found["elapsed_s"] for found in beats]
    assert elapsed == sorted(elapsed)
    assert elapsed[0] > 0
