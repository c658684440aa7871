"""Readers of finished leases: the highest try counts, whichever way they read."""

import random
import tempfile
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.workspace.workspace import Workspace
from tests.synth.traces import make_trace, publish_traces


@st.composite
def tries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw items with one to four tries, in any order."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    rows = [
        make_trace(f"question {number}") | {"try": attempt, "answer": f"{number}, {attempt}"}
        for number, count in enumerate(counts)
        for attempt in range(count)
    ]
    random.Random(draw(st.integers(0, 99))).shuffle(rows)
    return rows


@settings(max_examples=25, deadline=None)
@given(rows=tries(), lease_rows=st.integers(1, 5))
def test_only_the_highest_try_of_an_item_is_read(
    rows: list[dict[str, Any]], lease_rows: int
) -> None:
    last: dict[str, int] = {}
    for row in rows:
        last[row["item_id"]] = max(row["try"], last.get(row["item_id"], 0))
    expected = sorted(row["answer"] for row in rows if row["try"] == last[row["item_id"]])
    with tempfile.TemporaryDirectory() as folder:
        publish_traces(folder, rows, lease_rows)
        workspace = Workspace(folder)
        assert sorted(workspace.traces()["answer"].to_pylist()) == expected
        parts = dict(workspace.stream_traces(workspace.finished(), ["answer", "prompt"]))
        assert list(parts) == workspace.finished()
        streamed = pa.concat_tables(parts.values())
        assert streamed.column_names == ["answer", "prompt"]
        assert sorted(streamed["answer"].to_pylist()) == expected
