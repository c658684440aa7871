"""One command at a time works on a run, because its pools are shared.

A command that holds a run creates `logs/holders/<number>.json`, with the next number: of two that
begin at once only the first to create it goes on. Whatever it does then, a thread keeps its
heartbeat in `logs/progress.json` until it ends. The highest number holds the run. A command that
meets a higher one than its own was displaced by `--force`: it leaves, and what it finds on the
cluster is no longer its own.
"""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from synth import storage
from synth.drive.drive import Progress
from synth.errors import BadInput, RunFault
from synth.workspace.stage import dump

FRESH_S = 30.0
BEAT_S = 5.0

_held: dict[str, "Holder"] = {}  # by run; what this process holds


@contextmanager
def hold(run: str, stage: str, force: bool = False) -> Iterator["Holder"]:
    """Hold `run` while the block works on it; within a block that holds it, go on holding it.

    Args:
        run: The run's directory.
        stage: What `status` calls the work.
        force: Displace another command that is still at work.

    Raises:
        BadInput: Another command's heartbeat is younger than `FRESH_S`, and `force` is unset.
        RunFault: Another command has displaced this one.
    """
    place = storage.absolute(run)
    if (holder := _held.get(place)) is not None:
        holder.enter(stage)
        yield holder
        return
    _held[place] = holder = Holder(run, _take(run, force), stage)
    try:
        try:
            holder.start()
            yield holder
        finally:
            del _held[place]
            holder.end()
    except (KeyboardInterrupt, asyncio.CancelledError, RunFault):
        if holder.fault is not None:
            raise holder.fault from None
        raise


class Holder:
    """A command's hold on a run, and what it last told of its work.

    Attributes:
        number: Which holder of the run it is.
        stage: What it does.
        fault: Why it must leave; None while it need not.
    """

    def __init__(self, run: str, number: int, stage: str) -> None:
        self.number, self.stage = number, stage
        self.fault: Exception | None = None
        self._run, self._progress = run, Progress()
        self._started = time.monotonic()  # clocks are put forward and back; rates must not be
        self._over, self._due = False, threading.Event()
        self._heard = threading.Event()  # the work knows of the fault, or has ended
        self._interrupts = threading.current_thread() is threading.main_thread()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Write the first beat, and go on in a thread: a store may take its time."""
        self._write(ended=False)
        self._thread.start()

    def enter(self, stage: str) -> None:
        """Begin another stage, whose numbers start at nothing."""
        if stage != self.stage:
            self.stage, self._progress, self._started = stage, Progress(), time.monotonic()
            self._due.set()

    def note(self, progress: Progress) -> None:
        """Take a drive's newest numbers; where this command must leave, the drive learns why."""
        if not self._progress.rows_planned:
            self._due.set()  # work has begun, which is not told five seconds late
        self._progress = progress
        if self.fault is not None:
            self._heard.set()
            raise self.fault

    def holds(self) -> bool:
        """Look whether the run is still held by this command."""
        return max(_numbers(self._run), default=0) == self.number

    def end(self) -> None:
        """Say that nobody works on the run now, unless another command does."""
        self._over = True
        self._due.set()
        self._heard.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.fault is None and self.holds():
            self._write(ended=True)

    def _beat(self) -> None:
        while True:
            self._due.wait(BEAT_S)
            self._due.clear()
            if self._over:
                return
            try:
                self._check()
                self._write(ended=False)
            except Exception as fault:  # noqa: BLE001 - raised where the work is
                self.fault = fault
                # A drive asks every second. What never asks, such as a training, is interrupted.
                if not self._heard.wait(BEAT_S) and self._interrupts:
                    os.kill(os.getpid(), signal.SIGINT)
                return

    def _check(self) -> None:
        if not self.holds():
            taken = f"{self._run}: another command has taken this run over (--force)"
            raise RunFault(f"{taken}; what it had not finished is owed, and that one goes on")

    def _write(self, *, ended: bool) -> None:
        progress = self._progress
        body = {
            "driver": _driver(),
            "holder": self.number,
            "stage": self.stage,
            "at": time.time(),
            "elapsed_s": time.monotonic() - self._started,
            "ended": ended,
            "leases_done": progress.leases_done,
            "leases_planned": progress.leases_planned,
            "rows_planned": progress.rows_planned,
            "outcomes": dict(progress.outcomes),
            "output_tokens": progress.output_tokens,
        }
        storage.replace(progress_path(self._run), dump(body))


def progress_path(run: str) -> str:
    """Return the path of the heartbeat file."""
    return storage.join(run, "logs", "progress.json")


def read_progress(run: str) -> dict[str, Any] | None:
    """Return the last heartbeat, or None where no command has worked here."""
    return _read(progress_path(run))


def _take(run: str, force: bool) -> int:
    """Become the run's holder, and return which; there is one of each number.

    Raises:
        BadInput: Another one is at work, and `force` is unset.
    """
    while True:
        last = max(numbers := _numbers(run), default=0)
        if not force:
            _refuse_second(run, last)
        body = {"driver": _driver(), "at": time.time(), "ended": False}
        if storage.publish(_holder_path(run, last + 1), dump(body)):
            for number in numbers:
                storage.remove(_holder_path(run, number))
            return last + 1


def _refuse_second(run: str, last: int) -> None:
    """Leave a run to the command that works on it: the holder with the number `last`."""
    path, beat = progress_path(run), read_progress(run)
    if beat is None or beat.get("holder", last) != last:  # it has only just begun
        path = _holder_path(run, last)
        beat = _read(path)
    if beat is None or beat["ended"] or not _may_live(beat["driver"]):
        return
    # A beat from the future says nothing but that some clock was put back: it holds nobody off.
    if abs(age_s := time.time() - beat["at"]) < FRESH_S:
        raise BadInput(
            file=path,
            field="driver",
            value=beat["driver"],
            rule=f"was at work {max(0, age_s):.0f} s ago; wait for it, or use --force",
        )


def _read(path: str) -> dict[str, Any] | None:
    try:
        return json.loads(storage.read(path))
    except FileNotFoundError:
        return None


def _numbers(run: str) -> list[int]:
    """Return the numbers of the holders that are known."""
    names = storage.list_files(storage.join(run, "logs", "holders"))
    stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return [int(stem) for stem in stems if stem.isdecimal()]


def _holder_path(run: str, number: int) -> str:
    return storage.join(run, "logs", "holders", f"{number}.json")


def _driver() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _may_live(driver: str) -> bool:
    """Say whether `driver` is another one that may be at work; of other hosts nothing is known."""
    host, _, pid = driver.rpartition(":")
    if host != socket.gethostname():
        return True
    return int(pid) != os.getpid() and psutil.pid_exists(int(pid))
