"""When calls were in flight at the replicas: written there a line a call, read after the run.

Replicas are processes of their own on this machine, so times are of its monotonic clock.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER_ENV = "GUIDEWEAVE_BENCH_FLIGHTS"  # inherited by every process of a cluster of our own


class Flight(NamedTuple):
    """One call at a replica, in seconds of the machine's clock."""

    began_at: float
    ended_at: float


@contextmanager
def in_flight(pool: str) -> Iterator[None]:
    """Note a call to `pool` from here to the end of the block."""
    began_at = time.monotonic()
    try:
        yield
    finally:
        line = f"{began_at:.6f} {time.monotonic():.6f}\n"
        os.write(_log(pool), line.encode())


@cache
def _log(pool: str) -> int:
    path = Path(os.environ[FOLDER_ENV]) / f"{pool}-{os.getpid()}"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def read_flights(folder: Path, pool: str) -> list[Flight]:
    """Return the calls that all replicas of `pool` noted."""
    lines = (line for file in folder.glob(f"{pool}-*") for line in file.read_text().splitlines())
    return [Flight(*map(float, line.split())) for line in lines]


def occupancy(flights: Sequence[Flight], allowed: int, last_row_at: float) -> float:
    """Return the mean number of calls in flight over those allowed.

    Args:
        flights: All calls of a pool.
        allowed: Calls that may be in flight at once.
        last_row_at: When the last row began its first call. The mean is taken up to then from
            the moment when as many calls as are allowed have begun for the first time.
    """
    full_at = sorted(flight.began_at for flight in flights)[allowed - 1]
    inside_s = sum(
        max(0.0, min(flight.ended_at, last_row_at) - max(flight.began_at, full_at))
        for flight in flights
    )
    return inside_s / (allowed * (last_row_at - full_at))
