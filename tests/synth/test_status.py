"""How a run stands, from its files."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guidelines import load_guidelines
from synth import storage
from synth.config.schema import Accepted, Limits, ModelConfig, SynthConfig
from synth.dataset import counting_of, retry_failed
from synth.drive.holder import progress_path
from synth.errors import BadInput
from synth.recipes import find_recipe
from synth.records import Seed
from synth.run import Run
from synth.status import read_status, shortfalls
from synth.synthesize import RunOptions, synthesize
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_seed

SCRIPTS = "tests.synth.scripts"


def make_run(folder: Path, recipe: str = "echo", seeds: int = 20, **fields: Any) -> Run:
    found = find_recipe(f"{SCRIPTS}.{recipe}")
    train: list[Seed] = [make_seed(f"Question {i}?", category=f"c{i % 2}/x") for i in range(seeds)]
    teacher = ModelConfig(model="scripted", engine_args={"script": f"{SCRIPTS}:repeat"})
    config = SynthConfig(
        run=str(folder), samples=1, teacher=teacher, limits=Limits(workers=0), **fields
    )
    return Run(
        config=config,
        workspace=Workspace(config.workspace),
        recipes={found.name: found},
        recipe_paths={found.name: f"{SCRIPTS}.{recipe}"},
        guidelines={"srg": load_guidelines("srg")},
        train=train,
        evaluation=[],
        contaminated={},
    )


async def test_a_finished_run_from_its_footers(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    await synthesize(run, None, RunOptions())
    status = read_status(str(tmp_path))
    assert status.outcomes == {"ok": 20}
    assert (status.leases_done, status.leases_planned, status.rows_planned) == (2, 2, 20)
    assert status.output_tokens == 20 * 4
    assert status.beat is not None
    assert status.beat.ended
    assert status.beat.left_s is None
    assert (status.beat.done, status.beat.planned) == (20, 20)


async def test_retried_items_count_once_by_their_last_try(tmp_path: Path) -> None:
    await synthesize(make_run(tmp_path, "broken"), None, RunOptions())
    assert read_status(str(tmp_path)).outcomes == {"failed": 20}
    assert retry_failed(str(tmp_path)) == 20
    assert retry_failed(str(tmp_path)) == 0, "planned already"
    mended = replace(make_run(tmp_path, "broken"), recipe_paths={"broken": f"{SCRIPTS}.echo"})
    await synthesize(mended, None, RunOptions())
    status = read_status(str(tmp_path))
    assert status.outcomes == {"ok": 20}
    assert status.retried == 20


def write_beat(run: Path, at: float) -> None:
    storage.replace(f"{run}/config.yaml", b"run: x\n")
    beat = {
        "driver": "elsewhere:1",
        "stage": "synthesize",
        "at": at,
        "elapsed_s": 100.0,
        "ended": False,
        "leases_done": 1,
        "leases_planned": 4,
        "rows_planned": 100,
        "outcomes": {"ok": 20, "failed": 5},
        "output_tokens": 5_000,
    }
    storage.replace(progress_path(str(run)), json.dumps(beat).encode())


def test_time_left_goes_on_at_the_pace_so_far(tmp_path: Path) -> None:
    write_beat(tmp_path, at=1_000.0)
    found = read_status(str(tmp_path)).beat
    assert found is not None
    assert (found.done, found.tokens_per_s, found.left_s) == (25, 50.0, 300.0)
    assert found.age_s > 1_000


def test_a_beat_from_a_clock_that_is_ahead_has_no_negative_age(tmp_path: Path) -> None:
    write_beat(tmp_path, at=time.time() + 3_600)
    found = read_status(str(tmp_path)).beat
    assert found is not None
    assert (found.age_s, found.left_s) == (0.0, 300.0)


async def test_each_category_stands_by_itself_whatever_its_name(tmp_path: Path) -> None:
    await synthesize(make_run(tmp_path), None, RunOptions())
    status = read_status(str(tmp_path))
    assert status.kinds == {
        ("echo", "benign", "c0/x"): {"ok": 10},
        ("echo", "benign", "c1/x"): {"ok": 10},
    }
    assert status.accepted_so_far is None


async def test_a_quotas_last_count_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, accepted=Accepted(per_category=3, budget=20))
    await synthesize(run, counting_of(run), RunOptions())
    assert read_status(str(tmp_path)).accepted_so_far == {}
    storage.replace(f"{tmp_path}/logs/accepted.json", b'{"accepted": [["echo", "benign", "x", 3]]}')
    status = read_status(str(tmp_path))
    assert (status.accepted_so_far, status.barren) == ({("echo", "benign", "x"): 3}, {})


def test_the_cost_of_an_accepted_row(tmp_path: Path) -> None:
    storage.replace(f"{tmp_path}/config.yaml", b"run: x\n")
    manifest = {"accepted": {"srg": 3, "refusal": 1}, "drops": {}, "acceptance": []}
    storage.replace(f"{tmp_path}/curated/p/manifest.json", json.dumps(manifest).encode())
    status = read_status(str(tmp_path))
    assert status.accepted("p") == 4
    assert status.tokens_per_accepted("p") == 0


@pytest.mark.parametrize("verb", [read_status, retry_failed])
def test_another_folder_is_no_run(tmp_path: Path, verb: object) -> None:
    assert callable(verb)
    with pytest.raises(BadInput, match="must be a run directory"):
        verb(str(tmp_path))


async def test_what_is_unmet_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, accepted=Accepted(per_category=3, budget=20))
    counting = counting_of(run)
    await synthesize(run, counting, RunOptions())
    assert list(shortfalls(run, counting)) == [
        "echo, benign, c0/x: 0 of 3 accepted",
        "echo, benign, c1/x: 0 of 3 accepted",
    ]


async def test_failures_beyond_what_is_allowed_are_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, "broken")
    await synthesize(run, None, RunOptions())
    [line] = shortfalls(run)
    assert line.startswith("20 of 20 rows failed, 1.0% allowed")


async def test_a_run_whose_traces_stand_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(Path("all/one"), "broken", traces="all/shared")
    await synthesize(run, None, RunOptions())
    monkeypatch.chdir("/")
    status = read_status(str(tmp_path / "all/one"))
    assert (status.leases_done, status.outcomes) == (2, {"failed": 20})
    assert retry_failed(str(tmp_path / "all/one")) == 20
    with pytest.raises(BadInput, match="it holds those of one"):
        read_status(str(tmp_path / "all"))
