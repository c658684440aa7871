"""Readers of finished leases: the highest try counts, whichever way they read."""

import random
import tempfile
from itertools import count
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import RunFault
from synth.records import Item
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items
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


def test_who_loses_the_race_for_a_round_plans_what_is_due_then() -> None:
    items = make_items(30)
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = Workspace(folder), Workspace(folder)

        def due() -> list[Item]:
            planned = mine.plan().contains(item.item_id for item in items)
            found = [item for item, there in zip(items, planned, strict=True) if not there]
            theirs.plan_more(lambda: items[:10] if len(found) == 30 else [])
            return found

        assert mine.plan_more(due) == 20
        assert Workspace(folder).plan().num_items() == 30
        assert sum(lease.num_rows for lease in Workspace(folder).owed()) == 30


def test_a_race_that_is_always_lost_ends() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = Workspace(folder), Workspace(folder)
        more = (make_items(n)[-1:] for n in count(2))

        def due() -> list[Item]:
            theirs.publish(next(more))
            return make_items(1)

        with pytest.raises(RunFault, match="other drivers"):
            mine.plan_more(due)
