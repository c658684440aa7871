"""Run a command, and say how much CPU it and what it started took."""

import os
import subprocess
import threading
from collections.abc import Sequence

import psutil

_LOOK_S = 1.0


def run_measured(command: Sequence[str], *, tree: bool) -> tuple[str, float]:
    """Run `command`; return its last line of stdout, and CPU seconds from its start to its end.

    Args:
        command: What to run.
        tree: Look for processes it starts, too, about once a second, so that at most a second of
            each is missed. Those that it waits for itself count without that.

    Raises:
        RuntimeError: It failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    descendants: dict[int, float] = {}
    ended = threading.Event()
    looking = threading.Thread(target=_look, args=(process.pid, descendants, ended))
    if tree:
        looking.start()
    assert process.stdout is not None
    with process.stdout as stdout:
        told = stdout.read()
    ended.set()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # or it would be waited for again
    if tree:
        looking.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}")
    own_s = used.ru_utime + used.ru_stime
    return told.splitlines()[-1], own_s + sum(descendants.values())


def _look(pid: int, descendants: dict[int, float], ended: threading.Event) -> None:
    root = psutil.Process(pid)
    while not ended.wait(_LOOK_S):
        try:
            for child in root.children(recursive=True):
                times = child.cpu_times()
                descendants[child.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            continue  # it ended while it was looked at
