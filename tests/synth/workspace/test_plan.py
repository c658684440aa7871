"""Plans: whatever is planned is cut into leases that give it back."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.records import Item, digest
from synth.workspace import plan
from synth.workspace.plan import lease_name, read_items, read_round, round_path
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items

FEW = settings(max_examples=25, deadline=None)


@FEW
@given(count=st.integers(1, 90), rows=st.integers(1, 40), group_rows=st.integers(1, 50))
def test_leases_give_back_what_was_planned(count: int, rows: int, group_rows: int) -> None:
    items = make_items(count)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "GROUP_ROWS", group_rows)
        published = Workspace(folder).publish(iter(items), rows=rows)
        assert published is not None
        leases = published.leases
        assert leases == read_round(folder, 0).leases
        parts = [read_items(folder, lease) for lease in leases]
        assert [item for part in parts for item in part] == items
        assert [lease.num_rows for lease in leases] == [len(part) for part in parts]
        assert all(len(part) == rows for part in parts[:-1])
        assert [lease.name for lease in leases] == [lease_name(part) for part in parts]


def test_small_leases_share_row_groups(tmp_path: Path) -> None:
    published = Workspace(str(tmp_path)).publish(make_items(2_100), rows=16)
    assert published is not None
    assert len(published.leases) == 132
    assert pq.ParquetFile(round_path(str(tmp_path), 0)).num_row_groups == 3


def test_a_lease_names_the_guideline_sets_of_its_items(tmp_path: Path) -> None:
    items = [replace(item, guidelines=name) for item in make_items(2) for name in ("b", "", "a")]
    published = Workspace(str(tmp_path)).publish(items, rows=5)
    assert published is not None
    assert [lease.guidelines for lease in published.leases] == [("", "a", "b"), ("a",)]


TRIES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=12)


@FEW
@given(rounds=st.lists(TRIES, min_size=1, max_size=4), rows=st.integers(1, 5))
def test_a_plan_knows_who_holds_which_try(rounds: list[list[tuple[int, int]]], rows: int) -> None:
    ten = make_items(10)
    items = [[replace(ten[place], attempt=attempt) for place, attempt in one] for one in rounds]
    with tempfile.TemporaryDirectory() as folder:
        for one in items:
            Workspace(folder).publish(one, rows=rows)
        found = Workspace(folder).plan()
        holds = [(lease, read_items(folder, lease)) for lease in found.leases]
    all_items = [item for one in items for item in one]
    ids = [item.item_id for item in ten]
    planned = {item.item_id for item in all_items}
    assert found.num_items() == found.num_items(step=0) == len(planned)
    assert found.num_items(step=1) == 0
    assert found.contains(ids).tolist() == [item_id in planned for item_id in ids]
    assert not found.contains([digest("another")])[0]
    for item_id in planned:
        attempts = [item.attempt for item in all_items if item.item_id == item_id]
        there = [lease for lease, held in holds if item_id in {item.item_id for item in held}]
        assert found.last_try(item_id) == max(attempts)
        assert found.first_leases([item_id]) == there[:1]
        held = found.all_leases([item_id])
        assert set(held) <= set(there)
        assert {there[0], *_with_later(holds, item_id)} <= set(held)


def _with_later(holds: list[tuple[plan.Lease, list[Item]]], item_id: str) -> set[plan.Lease]:
    """Return the leases with a try of the item beyond its first."""
    return {
        lease
        for lease, held in holds
        if any(item.item_id == item_id and item.attempt > 0 for item in held)
    }


def test_planned_items_are_found_by_their_identifiers(tmp_path: Path) -> None:
    items = make_items(50)
    workspace = Workspace(str(tmp_path))
    workspace.publish(items[:30], rows=8)
    workspace.publish(items[15:], rows=8)
    wanted = {item.item_id for item in items[10:20]}
    assert [item.item_id for item in workspace.find_items(wanted)] == [
        item.item_id for item in items[10:20]
    ]
