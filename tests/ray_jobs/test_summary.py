"""What the stages print."""

from pathlib import Path

import pyarrow as pa
import pytest

from ray_jobs.summary import results_tables
from synth import storage


def test_results_are_printed_without_opening_any_record(
    scripted_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = storage.read

    def no_records(path: str) -> bytes:
        assert not path.endswith(".parquet")
        return read(path)

    def nothing(path: str) -> pa.NativeFile:
        pytest.fail(f"opened {path}")

    monkeypatch.setattr(storage, "read", no_records)
    monkeypatch.setattr(storage, "open_input", nothing)
    tables = list(results_tables(str(scripted_run)))
    assert len(tables) == 10  # two suites, plain and under four attacks
    assert all(table.row_count == 3 for table in tables)
