"""Every way to end has its exit code, and but for a fault of ours one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ray_jobs.exits import exit_code
from synth.errors import BadInput, PoolDown, RunFault


class Wrapped(Exception):
    """An error as Ray hands it on: the cause inside, a traceback as its text."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"ray::work()\n  File ...\n{cause}")
        self.cause = cause


BAD = BadInput(file="a.yaml", field="samples", value=0, rule="must be greater than 0")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BAD, 2, "a.yaml: samples: value 0: must be greater than 0"),
        (Wrapped(BAD), 2, "a.yaml: samples: value 0: must be greater than 0"),
        (click.UsageError("No such option '--x'."), 2, "guideweave: No such option '--x'; see"),
        (PoolDown("the teacher pool\nhas answered nothing"), 1, "the teacher pool has answered"),
        (Wrapped(RunFault("no replica")), 1, "no replica"),
        (KeyboardInterrupt(), 130, "interrupted: the same command resumes"),
        (click.Abort(), 130, "interrupted: the same command resumes"),
        (SystemExit(15), 130, "interrupted: the same command resumes"),
    ],
)
def test_an_error_becomes_its_code_and_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert exit_code(fail) == code
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(line)


def test_a_fault_of_ours_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    assert exit_code(fail) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("ZeroDivisionError: a bug\n")


def test_a_long_fault_keeps_both_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RunFault("the pool failed to start: " + "frame\n" * 1_000 + "OutOfMemory")

    assert exit_code(fail) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert len(said) < 700
    assert said.startswith("the pool failed to start: ")
    assert said.endswith("OutOfMemory")


@pytest.mark.parametrize("returned", [None, 0, 3])
def test_a_code_that_is_returned_stands(returned: int | None) -> None:
    assert exit_code(lambda: returned) == (returned or 0)


SLEEPER = """
import asyncio, pathlib, sys, click
from ray_jobs.exits import finish
from synth.calls.aio import run_until_interrupted

async def work():
    try:
        pathlib.Path(sys.argv[1], "started").touch()
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.5)
        pathlib.Path(sys.argv[1], "tidied").touch()

@click.command()
def command():
    run_until_interrupted(work())

finish(command, [])
"""


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2])
def test_interrupts_end_tidily(tmp_path: Path, signals: list[signal.Signals]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
    for number in signals:
        os.kill(process.pid, number)
        # Two that arrive together are one to Python.
        pause(process)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted: the same command resumes"
    assert (tmp_path / "tidied").exists()


def pause(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return
