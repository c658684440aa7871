"""Rows put by on disk come back for their files, however few may be in memory."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.curate import shards
from synth.curate.shards import Spill
from tests.synth.curate import test_stage as stage_tests

SCHEMA = pa.schema([("n", pa.int64())])
PARTS = st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 3))), max_size=6)


@settings(max_examples=25, deadline=None)
@given(parts=PARTS, buffer_bytes=st.sampled_from([0, 40, 1 << 20]))
def test_every_row_comes_back_for_its_file(
    parts: list[list[tuple[int, int]]], buffer_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BUFFER_BYTES", buffer_bytes)
        rows = Spill(Path(folder), SCHEMA)
        for part in parts:
            rows.add(pa.table([[n for n, _ in part]], schema=SCHEMA), [file for _, file in part])
        flat = [row for part in parts for row in part]
        assert rows.num_rows == len(flat)
        for file in range(4):
            assert rows.take(file)["n"].to_pylist() == [n for n, mine in flat if mine == file]


def test_shards_are_the_same_bytes_however_little_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, buffer_bytes in (("a", 1 << 30), ("b", 1)):
        monkeypatch.setattr(shards, "BUFFER_BYTES", buffer_bytes)
        folder = tmp_path / name
        folder.mkdir()
        stage_tests.publish_traces(str(folder), stage_tests.sample_rows())
        policy = stage_tests.write_policy(folder, heldout_share=0.25, shard_rows=9)
        manifest = stage_tests.run_stage(stage_tests.make_config(folder, policy))
        found.append([shard["sha256"] for shard in manifest["shards"]])
    assert found[0] == found[1]
    assert len(found[0]) > 4
