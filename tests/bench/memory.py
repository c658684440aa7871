"""Run a command, and say how much memory it and its Ray workers held at most."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

_LOOK_S = 0.5
_RAYS_OWN = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


def run_watched(command: Sequence[str]) -> tuple[str, int]:
    """Run `command`; return its last line of stdout, and the most bytes (PSS) held at a moment.

    Summed are its own process and the worker processes of a Ray it starts, not Ray's daemons.
    PSS counts a page that several processes share once over all of them.

    Raises:
        RuntimeError: It failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    most = [0]
    ended = threading.Event()
    looking = threading.Thread(target=_look, args=(process.pid, most, ended))
    looking.start()
    assert process.stdout is not None
    told = process.stdout.read()
    ended.set()
    looking.join()
    if process.wait():
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}")
    return told.splitlines()[-1], most[0]


def _look(pid: int, most: list[int], ended: threading.Event) -> None:
    while not ended.wait(_LOOK_S):
        most[0] = max(most[0], sum(map(pss_bytes, _watched(pid))))


def _watched(pid: int) -> list[int]:
    try:
        below = psutil.Process(pid).children(recursive=True)
        workers = [p.pid for p in below if p.name().startswith("ray::") and not _is_rays(p)]
    except psutil.NoSuchProcess:
        return []  # one ended while it was looked at
    return [pid, *workers]


def _is_rays(process: psutil.Process) -> bool:
    return process.name().startswith(_RAYS_OWN)


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
