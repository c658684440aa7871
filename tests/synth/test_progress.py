"""A run is left to the driver that works on it, unless that one can not be alive."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guidelines import BadInput
from synth import storage
from synth.progress import FRESH_S, progress_path, refuse_second_driver
from synth.stage import dump

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
