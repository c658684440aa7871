"""Plans: whatever is planned is cut into leases that give it back."""

import tempfile

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.records import digest
from synth.workspace import plan
from synth.workspace.plan import (
    lease_name,
    planned_ids,
    planned_items,
    planned_tries,
    publish_round,
    read_items,
    read_leases,
    round_path,
)
from tests.synth.factories import make_items

FEW = settings(max_examples=25, deadline=None)


@FEW
@given(count=st.integers(1, 90), rows=st.integers(1, 40), group_rows=st.integers(1, 50))
def test_leases_give_back_what_was_planned(count: int, rows: int, group_rows: int) -> None:
    items = make_items(count)
    with tempfile.TemporaryDirectory() as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "GROUP_ROWS", group_rows)
        leases = publish_round(workspace, 0, iter(items), rows=rows)
        assert leases == read_leases(workspace, 0)
        parts = [read_items(workspace, lease) for lease in leases]
        assert [item for part in parts for item in part] == items
        assert [lease.num_rows for lease in leases] == [len(part) for part in parts]
        assert all(len(part) == rows for part in parts[:-1])
        assert [lease.name for lease in leases] == [lease_name(part) for part in parts]


def test_small_leases_share_row_groups() -> None:
    with tempfile.TemporaryDirectory() as workspace:
        leases = publish_round(workspace, 0, make_items(2_100), rows=16)
        assert len(leases) == 132
        assert pq.ParquetFile(round_path(workspace, 0)).num_row_groups == 3


def test_what_is_planned_is_found_by_its_identifier() -> None:
    items = make_items(50)
    wanted = {item.item_id for item in items[10:20]}
    with tempfile.TemporaryDirectory() as workspace:
        publish_round(workspace, 0, items[:30], rows=8)
        publish_round(workspace, 1, items[15:], rows=8)
        known = planned_ids(workspace)
        assert len(known) == 50
        assert known.contains([items[3].item_id, digest("another")]).tolist() == [True, False]
        assert list(planned_items(workspace, wanted)) == items[10:20]
        assert planned_tries(workspace, wanted) == dict.fromkeys(wanted, 0)
        assert set(planned_tries(workspace)) == {item.item_id for item in items}
