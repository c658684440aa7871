"""Runs of the command line whose processes are killed, each only among its own descendants."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
MARKS = {"worker": "ray::WorkerActor", "replica": "ray::ServeReplica:gw-", "core": "EngineCore"}
DRIVER = "driver"
# Ray gives a node 30 s to start, whatever else the machine does; one runs the command again.
CROWDED = "The current node timed out during startup"
_POLL_S = 0.1
_LEAVE_S = 10.0  # for the processes of a killed driver to go by themselves


@dataclass(frozen=True, slots=True)
class Kill:
    """A process of `kind` gets `what` once it is there and the run is so far."""

    kind: str
    progress: int = 0
    what: signal.Signals = signal.SIGKILL


@dataclass(slots=True)
class Story:
    """What happened to a run.

    Attributes:
        kills: Kills that found a victim, by kind.
        lives: Drivers it took.
        seconds: From the first driver's start to the last one's end.
        left_behind: Workers, replicas and engines that had to be killed in the end.
    """

    kills: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    seconds: float = 0.0
    left_behind: int = 0


class Life:
    """One driver process and everything it starts."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        with log.open("ab") as sink:
            self.driver = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **env},
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._process = psutil.Process(self.driver.pid)
        self._family: set[psutil.Process] = set()
        self._struck: set[psutil.Process] = set()

    @property
    def over(self) -> bool:
        """Whether the driver has ended."""
        return self.driver.poll() is not None

    def family(self) -> set[psutil.Process]:
        """Return every descendant seen so far."""
        with suppress(psutil.NoSuchProcess):  # the driver has ended
            self._family.update(self._process.children(recursive=True))
        return self._family

    def find(self, kind: str) -> psutil.Process | None:
        """Return the oldest living process of `kind` that nothing was done to yet."""
        if kind == DRIVER:
            return None if self.over else self._process
        untouched = self.family() - self._struck
        found = [process for process in untouched if MARKS[kind] in title(process)]
        return min(found, key=lambda process: process.create_time(), default=None)

    def kill(self, kill: Kill, progress: Callable[[], int], deadline: float) -> bool:
        """Wait for the moment and kill; say whether there was a victim."""
        while self.find(kill.kind) is None or progress() < kill.progress:
            if not _sleep(_POLL_S, deadline) or self.over:
                return False
        self.family()  # so that those a driver leaves behind are known
        if (victim := self.find(kill.kind)) is None:
            return False
        with suppress(psutil.NoSuchProcess):  # it has ended by itself just now
            victim.send_signal(kill.what)
            self._struck.add(victim)
            return True
        return False

    def end(self) -> int:
        """Kill what is left; return how many processes of ours had not gone by themselves.

        Ray's own agents take longer to notice that a killed driver is gone.
        """
        family = self.family()
        if not self.over:
            self.driver.kill()
        self.driver.wait()
        _, alive = psutil.wait_procs(family, timeout=_LEAVE_S)
        titles = [title(process) for process in alive]
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return sum(any(mark in title for mark in MARKS.values()) for title in titles)


def run_through(
    command: Sequence[str],
    kills: Sequence[Kill],
    progress: Callable[[], int],
    *,
    log: Path,
    env: Mapping[str, str],
    timeout_s: float,
) -> Story:
    """Run `command`, killing as told, and again after a driver's death, until it exits 0.

    Args:
        command: Module and arguments.
        kills: What dies, in this order.
        progress: Says how far the run is, in the unit of the kills.
        log: Where the drivers' output goes.
        env: Added to the environment.
        timeout_s: For all of it.

    Raises:
        AssertionError: A driver that was not killed did not exit 0.
        subprocess.TimeoutExpired: Time is up.
    """
    story, pending = Story(), list(kills)
    started = time.monotonic()
    deadline = started + timeout_s
    lives: list[Life] = []
    with _ended(lives, story):
        while True:
            lives.append(life := Life([sys.executable, "-m", *command], log, env))
            story.lives += 1
            if not _live(life, pending, progress, story, deadline):
                continue
            code = life.driver.wait(max(1.0, deadline - time.monotonic()))
            said = log.read_text(errors="replace")[-3000:]
            if code == 1 and CROWDED in said[-400:]:
                continue
            assert code == 0, f"exit {code}: {said}"
            story.seconds = time.monotonic() - started
            return story


def _live(
    life: Life, pending: list[Kill], progress: Callable[[], int], story: Story, deadline: float
) -> bool:
    """Do the kills of one driver's life; say whether the driver was left alive."""
    while pending and not life.over:
        kill = pending.pop(0)
        if life.kill(kill, progress, deadline):
            story.kills[kill.kind] += 1
            if kill.kind == DRIVER:
                life.driver.wait()
                return False
    return True


@contextmanager
def _ended(lives: Sequence[Life], story: Story) -> Iterator[None]:
    try:
        yield
    finally:
        story.left_behind = sum(life.end() for life in lives)


def _sleep(seconds: float, deadline: float) -> bool:
    """Sleep, and say whether the deadline is still ahead."""
    time.sleep(max(0.0, min(seconds, deadline - time.monotonic())))
    return time.monotonic() < deadline


def title(process: psutil.Process) -> str:
    """Return what a process calls itself; nothing where it has ended."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return process.name() + " " + " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
