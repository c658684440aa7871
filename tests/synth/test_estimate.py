"""What a run will take."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from synth.config.schema import (
    Accepted,
    Limit,
    Limits,
    ModelConfig,
    SamplingConfig,
    SeedsConfig,
    SynthConfig,
)
from synth.dataset import counting_of
from synth.estimate import CostEstimate, estimate_cost
from synth.run import Run, load_run
from synth.synthesize import RunOptions, synthesize


def make_run(folder: Path, **fields: Any) -> Run:
    limit = Limit(harmful=4, benign=4, borderline=2)
    config = SynthConfig(
        run=str(folder / "run"),
        recipe=("refusal", "srg"),
        seeds=SeedsConfig(limit=limit),
        samples=3,
        teacher=ModelConfig(model="scripted"),
        sampling=SamplingConfig(max_tokens=100),
        limits=Limits(workers=0),
    )
    return load_run(config.model_copy(update=fields))


def test_a_new_run(tmp_path: Path) -> None:
    found = estimate_cost(make_run(tmp_path), None)
    assert found == CostEstimate(
        rows=60,
        budget=None,
        leases=4,
        full_tokens=6_000,
        expected_tokens=None,
        expected_cost=None,
        has_later_steps=False,
    )
    assert found.engine_hours(100) == 6_000 / 100 / 3600
    assert not (tmp_path / "run").exists()


async def test_a_run_that_has_begun_expects_what_it_has_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    await synthesize(run, None, RunOptions())
    assert estimate_cost(run, None).rows == 0
    more = replace(run, config=run.config.model_copy(update={"samples": 4}))
    found = estimate_cost(more, None)
    assert found.rows == 20
    assert found.expected_tokens is not None
    assert 0 < found.tokens == found.expected_tokens < found.full_tokens


def test_a_quota_has_a_budget(tmp_path: Path) -> None:
    run = make_run(tmp_path, accepted=Accepted(per_category=2, budget=30))
    found = estimate_cost(run, counting_of(run))
    assert found.budget == 30
    assert 0 < found.rows <= 30
