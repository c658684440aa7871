"""The checker sees what it is there to see, and the record of calls is read as it was written."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.chaos.calls import CALLS_FILE, ENDED, STARTED, Calls, note
from tests.chaos.check import COLUMNS, Count, count

ROW = dict.fromkeys(COLUMNS, "") | {"try": 0, "outcome": "ok"}


def write(run: Path, plan: dict[str, int], **leases: list[dict[str, object]]) -> Count:
    """Make a run of the tries in `plan` and the rows in `leases`, and count it."""
    items = [{"item_id": item, "try": attempt} for item, attempt in plan.items()]
    for folder, name, rows in [("plan", "round", items), *(("traces", *x) for x in leases.items())]:
        path = run / folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return count(run)


def row(item: str, **fields: object) -> dict[str, object]:
    return {**ROW, "item_id": item, "row_id": f"{item}-0", **fields}


def test_a_whole_run_is_whole(tmp_path: Path) -> None:
    found = write(
        tmp_path, {"a": 0, "b": 0}, one=[row("a"), row("a", row_id="a-1")], two=[row("b")]
    )
    assert found.whole
    assert (found.planned, found.rows) == (2, 3)


@pytest.mark.parametrize(
    ("rows", "attempt"),
    [([], 0), ([row("b", outcome="interrupted")], 0), ([row("b")], 1)],
    ids=["no row", "interrupted", "a later try is planned"],
)
def test_what_is_not_there_is_lost(
    rows: list[dict[str, object]], attempt: int, tmp_path: Path
) -> None:
    found = write(tmp_path, {"a": 0, "b": attempt}, one=[row("a"), *rows])
    assert found.lost == 1
    assert not found.whole


def test_what_is_there_twice_is_double(tmp_path: Path) -> None:
    assert write(tmp_path / "1", {"a": 0}, one=[row("a")], two=[row("a")]).double > 0
    assert write(tmp_path / "2", {"a": 0}, one=[row("a"), row("a")]).double > 0
    again = [row("a", **{"try": 1})]
    assert write(tmp_path / "3", {"a": 1}, one=[row("a")], two=again).double > 0
    interrupted = [row("a", outcome="interrupted")]
    assert write(tmp_path / "4", {"a": 1}, one=interrupted, two=again).whole


def test_the_failed_are_named_and_the_blamed_counted(tmp_path: Path) -> None:
    blamed = row("a", outcome="failed", prompt="one", error="Poison: killed an engine")
    other = row("b", outcome="failed", prompt="two", error="ValueError: no")
    found = write(tmp_path, {"a": 0, "b": 0}, one=[blamed, other])
    assert (found.failed, found.poison, found.whole) == (("one", "two"), 1, False)


def test_calls_of_a_dead_engine_are_not_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "calls"
    monkeypatch.setenv(CALLS_FILE, str(record))
    note(STARTED, "a/0")
    note(ENDED, "a/0")
    note(STARTED, "a/1")
    calls = Calls(record)
    assert calls.look().in_flight() == 1
    assert {engine.pid for engine in calls.engines()} == {os.getpid()}
    ends = "from tests.chaos.calls import note, STARTED; note(STARTED, 'b/0')"
    subprocess.run([sys.executable, "-c", ends], check=True, cwd=Path(__file__).parents[2])
    assert calls.look().in_flight() == 1
    assert calls.in_flight(orphans=calls.engines()) == 0
    assert (calls.made, calls.answered, calls.of_rows) == (3, 1, {"a": {"0"}})
