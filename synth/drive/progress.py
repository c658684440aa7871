"""What a driver leaves behind while it works: a heartbeat with live numbers, and timings."""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil

from synth import storage
from synth.drive.drive import Progress
from synth.errors import BadInput
from synth.records import Cell
from synth.workspace.stage import dump

FRESH_S = 30.0
BEAT_S = 5.0

Report = Callable[[str, Progress], None]


def progress_path(run: str) -> str:
    """Return the path of the heartbeat file."""
    return storage.join(run, "logs", "progress.json")


def read_progress(run: str) -> dict[str, Any] | None:
    """Return the last heartbeat, or None where no driver has worked here."""
    try:
        return json.loads(storage.read(progress_path(run)))
    except FileNotFoundError:
        return None


def refuse_second_driver(run: str, force: bool) -> None:
    """Leave a run to the driver that works on it.

    Raises:
        BadInput: Another driver's heartbeat is younger than `FRESH_S`, and `force` is unset.
    """
    beat = read_progress(run)
    if force or beat is None or beat["ended"] or not _may_live(beat["driver"]):
        return
    # A beat from the future says nothing but that some clock was put back: it holds nobody off.
    if abs(age := time.time() - beat["at"]) < FRESH_S:
        raise BadInput(
            file=progress_path(run),
            field="driver",
            value=beat["driver"],
            rule=f"was at work {max(0, age):.0f} s ago; wait for it, or use --force",
        )


class Heartbeat:
    """Writes a drive's numbers beside the run, every `BEAT_S`, and tells a listener.

    A thread writes, for a store may take its time and the drive must not. A beat that can not
    be written ends the drive, with the next one.
    """

    def __init__(self, run: str, stage: str, tell: Report) -> None:
        self._run, self._stage, self._tell = run, stage, tell
        self._started = time.monotonic()  # clocks are put forward and back; rates must not be
        self._due = self._started
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] = self._thread.submit(lambda: None)

    def __call__(self, progress: Progress) -> None:
        """Take the drive's newest numbers."""
        self._tell(self._stage, progress)
        if time.monotonic() >= self._due and self._writing.done():
            self._due = time.monotonic() + BEAT_S
            self._writing.result()
            body = self._body(progress, ended=False)
            self._writing = self._thread.submit(storage.replace, progress_path(self._run), body)

    def end(self, progress: Progress | None) -> None:
        """Say that this driver is done with the stage."""
        self._thread.shutdown()
        body = self._body(progress or Progress(), ended=True)
        storage.replace(progress_path(self._run), body)

    def _body(self, progress: Progress, *, ended: bool) -> bytes:
        return dump(
            {
                "driver": _driver(),
                "stage": self._stage,
                "at": time.time(),
                "elapsed_s": time.monotonic() - self._started,
                "ended": ended,
                "leases_done": progress.leases_done,
                "leases_planned": progress.leases_planned,
                "rows_planned": progress.rows_planned,
                "outcomes": dict(progress.outcomes),
                "output_tokens": progress.output_tokens,
            }
        )


def note_accepted(run: str, accepted: Mapping[Cell, int], barren: Mapping[Cell, int]) -> None:
    """Keep what a quota's last count has found, for who asks how the run stands.

    Args:
        run: The run's directory.
        accepted: Accepted rows by cell.
        barren: Cells that get no more, and how many candidates in a row gave nothing.
    """
    found = {"accepted": accepted, "barren": barren}
    body = {
        name: [[*cell, number] for cell, number in sorted(numbers.items())]
        for name, numbers in found.items()
    }
    storage.replace(_accepted_path(run), dump(body))


def read_accepted(run: str) -> dict[Cell, int] | None:
    """Return the accepted rows that a quota's last count has found; None where none was made."""
    return _read_count(run, "accepted")


def read_barren(run: str) -> dict[Cell, int]:
    """Return the cells that a quota has given up, and how many candidates in a row gave nothing."""
    return _read_count(run, "barren") or {}


def _read_count(run: str, name: str) -> dict[Cell, int] | None:
    try:
        numbers = json.loads(storage.read(_accepted_path(run))).get(name, [])
    except FileNotFoundError:
        return None
    return {(recipe, label, category): number for recipe, label, category, number in numbers}


def note_seconds(run: str, stage: str, seconds: float) -> None:
    """Add a stage's wall-clock seconds to `logs/stages.json`."""
    path = storage.join(run, "logs", "stages.json")
    try:
        stages = json.loads(storage.read(path))
    except FileNotFoundError:
        stages = {}
    stages[stage] = round(stages.get(stage, 0.0) + seconds, 1)
    storage.replace(path, dump(stages))


def _accepted_path(run: str) -> str:
    return storage.join(run, "logs", "accepted.json")


def _driver() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _may_live(driver: str) -> bool:
    """Say whether `driver` is another one that may be at work; of other hosts nothing is known."""
    host, _, pid = driver.rpartition(":")
    if host != socket.gethostname():
        return True
    return int(pid) != os.getpid() and psutil.pid_exists(int(pid))
