"""A batch runs its own items, whatever else was planned beside them."""

from pathlib import Path

from synth.batch import Batch, run_batch
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.records import Sampling
from synth.synthesize import Options
from synth.workspace.plan import MIN_LEASE_ROWS
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items

ITEMS = make_items(4 * MIN_LEASE_ROWS)


def make_batch(folder: Path, num_items: int) -> tuple[SynthConfig, Batch]:
    """Make up a batch of the first items, and the run that it is beside."""
    model = ModelConfig(model="scripted")
    config = SynthConfig(run=str(folder), teacher=model, limits=Limits(workers=0))
    batch = Batch(
        stage="test",
        workspace=str(folder / "batch"),
        items=ITEMS[:num_items],
        recipe="tests.synth.scripts.echo",
        models={"teacher": model},
        sampling=Sampling(),
        fingerprint="f" * 24,
    )
    return config, batch


def run(folder: Path, num_items: int) -> int:
    """Run a batch of the first items and return how many rows it has."""
    config, batch = make_batch(folder, num_items)
    return run_batch(config, Options(), batch).num_rows


def test_what_a_larger_batch_has_planned_stays_owed(tmp_path: Path) -> None:
    workspace = str(tmp_path / "batch")
    Workspace(workspace).publish(ITEMS)
    wanted = MIN_LEASE_ROWS + 1
    assert run(tmp_path, wanted) == wanted
    assert len(Workspace(workspace).finished()) == len(Workspace(workspace).owed()) == 2


def test_a_batch_plans_what_is_not_planned_yet(tmp_path: Path) -> None:
    assert run(tmp_path, 3) == 3
    assert run(tmp_path, len(ITEMS)) == len(ITEMS)
    assert Workspace(str(tmp_path / "batch")).owed() == []
