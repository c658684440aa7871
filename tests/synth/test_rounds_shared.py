"""Runs that share a workspace: each asks its own students, and leaves the others' items alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from synth import students
from synth.rounds import due_steps, interrupted, owed_by, plan_due
from synth.run import Run
from synth.synthesize import RunOptions, synthesize
from synth.workspace.plan import read_items
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_loaves, make_run
from tests.synth.iterated import ITERATED, WANTED, pretend_trained, scripted_student


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Run]:
    """Two runs of the iterated recipe on one workspace, each with a first student of its own."""
    monkeypatch.setattr(students, "trained_model", scripted_student)
    monkeypatch.setattr("synth.synthesize.trained_model", scripted_student)
    one = make_run(
        tmp_path / "one",
        ITERATED,
        "tests.synth.iterated.ITERATED",
        seeds=make_loaves(2),
        traces=str(tmp_path / "shared"),
        samples=2,
    )
    config = one.config
    other = replace(one, config=config.model_copy(update={"run": str(tmp_path / "other")}))
    pretend_trained(one.config, "iterated-first")
    pretend_trained(other.config, "iterated-first", version=2)
    return one, other


async def test_one_run_does_not_answer_for_the_students_of_another(runs: tuple[Run, Run]) -> None:
    one, other = runs
    await synthesize(one, None, RunOptions())
    planned = plan_due(other, None)
    assert [lease.step for lease in planned] == [2]
    assert owed_by(one) == []
    assert one.workspace.owed() == planned
    assert due_steps(one) == {}
    await synthesize(one, None, RunOptions())
    assert one.workspace.owed() == planned
    await synthesize(other, None, RunOptions())
    rows = one.workspace.traces().to_pylist()
    told = [row["answer"].split(":")[0] for row in rows if row["step"] == 2]
    assert sorted(told) == ["Again"] * WANTED + ["Once"] * WANTED


async def test_what_another_run_left_in_the_middle_is_its_own_to_finish(
    runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = runs
    await synthesize(one, None, RunOptions())
    left = plan_due(other, None)
    items = [item for lease in left for item in read_items(other.workspace.path, lease)]
    monkeypatch.setattr(Workspace, "again", lambda *_: items)
    assert interrupted(one) == []
    assert interrupted(other) == items
