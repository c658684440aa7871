"""What the stages print."""

from pathlib import Path

import pyarrow as pa
import pytest

from ray_jobs.summary import results_tables
from synth import storage
from tests.train.report_files import write_run


def test_results_are_printed_without_opening_any_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = write_run(tmp_path), storage.read

    def no_records(path: str) -> bytes:
        assert not path.endswith(".parquet")
        return read(path)

    def nothing(path: str) -> pa.NativeFile:
        pytest.fail(f"opened {path}")

    monkeypatch.setattr(storage, "read", no_records)
    monkeypatch.setattr(storage, "open_input", nothing)
    tables = list(results_tables(run))
    assert len(tables) == 14  # two suites, plain and under six attacks
    assert all(table.row_count == 3 for table in tables)
