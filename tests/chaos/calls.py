"""The record of every call that reached an engine: a line when it comes, another when it ends.

Lines are short and appended, so that a process that is killed leaves none behind in part.
"""

import os
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CALLS_FILE = "GUIDEWEAVE_CHAOS_CALLS"
STARTED, ENDED, CANCELLED, POISONED = "started", "ended", "cancelled", "poisoned"


def note(what: str, call: str) -> None:
    """Leave a mark of this process."""
    line = f"{what} {call} {os.getpid()}\n"
    with open(os.environ[CALLS_FILE], "ab", buffering=0) as record:
        record.write(line.encode())


@dataclass(slots=True)
class Calls:
    """What the record says so far.

    Attributes:
        made: Calls that reached an engine, whatever became of them.
        answered: Those that were answered.
        deaths: Those that their engine died of.
        of_rows: Answered calls by row, each counted once.
    """

    path: Path
    made: int = 0
    answered: int = 0
    deaths: int = 0
    of_rows: dict[str, set[str]] = field(default_factory=dict)
    _engines: dict[int, psutil.Process] = field(default_factory=dict)
    _open: Counter[psutil.Process] = field(default_factory=Counter)
    _read: int = 0

    def look(self) -> "Calls":
        """Read what is new."""
        with self.path.open("rb") as record:
            record.seek(self._read)
            new = record.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        for line in new.decode().splitlines():
            what, call, pid = line.split()
            self._count(what, call)
            self._follow(what, int(pid))
        return self

    def in_flight(self, orphans: Set[psutil.Process] = frozenset()) -> int:
        """Return how many calls the engines work on; those of a dead engine are over.

        Args:
            orphans: Engines whose calls nobody waits for.
        """
        return sum(self._open[engine] for engine in self.engines() - orphans)

    def engines(self) -> set[psutil.Process]:
        """Return the processes that have taken a call, and live."""
        return {engine for engine in self._engines.values() if _lives(engine)}

    def _count(self, what: str, call: str) -> None:
        self.made += what == STARTED
        self.deaths += what == POISONED
        if what == ENDED:
            self.answered += 1
            row, _, index = call.rpartition("/")
            self.of_rows.setdefault(row, set()).add(index)

    def _follow(self, what: str, pid: int) -> None:
        """Keep account of what the engine `pid` works on; numbers of processes come again."""
        if pid not in self._engines or not _lives(self._engines[pid]):
            try:
                self._engines[pid] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                return
        self._open[self._engines[pid]] += {STARTED: 1, POISONED: 0}.get(what, -1)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
