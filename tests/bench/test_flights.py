"""How full a pool was, by hand."""

import os
from pathlib import Path

import pytest

from tests.bench import flights
from tests.bench.flights import FOLDER_ENV, Flight, in_flight, occupancy, read_flights


def test_a_pool_that_is_always_full_is_full() -> None:
    calls = [Flight(start, start + 1.0) for start in range(10) for _ in range(4)]
    assert occupancy(calls, allowed=4, last_row_at=9.0) == pytest.approx(1.0)


def test_gaps_between_calls_count() -> None:
    calls = [Flight(start, start + 0.5) for start in range(10) for _ in range(4)]
    assert occupancy(calls, allowed=4, last_row_at=9.0) == pytest.approx(0.5)


def test_neither_the_start_nor_the_tail_counts() -> None:
    ramp = [Flight(0.0, 100.0), Flight(5.0, 20.0)]  # full from 5 s on
    assert occupancy([*ramp, Flight(20.0, 30.0)], 2, last_row_at=20.0) == pytest.approx(1.0)


def test_what_replicas_note_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, FOLDER_ENV, str(tmp_path))
    flights._log.cache_clear()
    with in_flight("teacher"), in_flight("teacher"):
        pass
    found = read_flights(tmp_path, "teacher")
    assert len(found) == 2
    assert all(flight.began_at <= flight.ended_at for flight in found)
    assert read_flights(tmp_path, "judge") == []
