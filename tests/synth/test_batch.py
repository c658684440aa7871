"""A batch runs its own items, whatever else was planned beside them, all parts of it at once."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from synth import batch as module
from synth import storage
from synth.batch import Batch, run_batch
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.drive.holder import progress_path
from synth.errors import BadInput
from synth.records import Item, Sampling
from synth.synthesize import RunOptions
from synth.workspace.plan import MIN_LEASE_ROWS
from synth.workspace.stage import dump
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items

ITEMS = make_items(4 * MIN_LEASE_ROWS)


def make_batch(
    folder: Path, parts: Iterable[Sequence[Item]], **fields: Any
) -> tuple[SynthConfig, Batch]:
    """Make up a batch of these parts, and the run that it is beside."""
    model = ModelConfig(model="scripted")
    config = SynthConfig(run=str(folder), teacher=model, limits=Limits(workers=0))
    batch = Batch(
        stage="test",
        workspace=str(folder / "batch"),
        parts=parts,
        recipe="tests.synth.scripts.echo",
        models={"teacher": model},
        sampling=Sampling(),
        fingerprint="f" * 24,
        **fields,
    )
    return config, batch


def run(folder: Path, parts: Iterable[Sequence[Item]], **fields: Any) -> Iterator[pa.Table]:
    """Run a batch of these parts."""
    config, batch = make_batch(folder, parts, **fields)
    return run_batch(config, RunOptions(), batch)


def ids_of(table: pa.Table) -> list[str]:
    return sorted(table["item_id"].to_pylist())


def test_what_a_larger_batch_has_planned_stays_owed(tmp_path: Path) -> None:
    workspace = str(tmp_path / "batch")
    Workspace(workspace).publish(ITEMS)
    wanted = MIN_LEASE_ROWS + 1
    [table] = run(tmp_path, [ITEMS[:wanted]])
    assert table.num_rows == wanted
    assert len(Workspace(workspace).finished()) == len(Workspace(workspace).owed()) == 2


def test_a_batch_plans_what_is_not_planned_yet(tmp_path: Path) -> None:
    for num_items in (3, len(ITEMS)):
        [table] = run(tmp_path, [ITEMS[:num_items]])
        assert table.num_rows == num_items
    assert Workspace(str(tmp_path / "batch")).owed() == []


def test_the_parts_of_a_batch_run_together_and_are_read_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, open_pools = list[Any](), module.open_pools

    def noting(*given: Any) -> Any:
        opened.append(given)
        return open_pools(*given)

    monkeypatch.setattr(module, "open_pools", noting)
    parts = [ITEMS[:20], ITEMS[10:30], [], [*ITEMS[30:40], ITEMS[35]]]
    for _ in range(2):
        tables = list(run(tmp_path, parts))
        assert [ids_of(t) for t in tables] == [sorted({i.item_id for i in p}) for p in parts]
    assert len(opened) == 1
    workspace = str(tmp_path / "batch")
    assert len(Workspace(workspace).plan().rounds) == 3
    assert Workspace(workspace).traces().num_rows == 40  # an item of two parts is made once


def test_a_part_is_let_go_before_the_next_one_is_made(tmp_path: Path) -> None:
    class Part(list[Item]):
        """A list, but for being counted while it is there."""

        there = 0

        def __init__(self, items: Sequence[Item]) -> None:
            super().__init__(items)
            Part.there += 1
            most.append(Part.there)

        def __del__(self) -> None:
            Part.there -= 1

    most: list[int] = []
    parts = map(Part, (ITEMS[:20], ITEMS[20:40], ITEMS[40:]))
    assert [t.num_rows for t in run(tmp_path, parts)] == [20, 20, len(ITEMS) - 40]
    assert most == [1, 1, 1]


def test_a_batch_is_refused_beside_another_command_on_its_run(tmp_path: Path) -> None:
    beat = {"driver": "elsewhere:1", "at": time.time(), "ended": False}
    storage.replace(progress_path(str(tmp_path)), dump(beat))
    with pytest.raises(BadInput, match="elsewhere:1"):
        run(tmp_path, [ITEMS])
    assert Workspace(str(tmp_path / "batch")).finished() == []


def test_no_other_columns_are_read_than_a_batch_wants(tmp_path: Path) -> None:
    [table] = run(tmp_path, [ITEMS[:3]], columns=("outcome", "raw"))
    assert table.column_names == ["outcome", "raw"]
    assert table.num_rows == 3
