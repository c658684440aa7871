"""The glue between stages: what is evaluated stays out of training."""

import json
from pathlib import Path

import pytest

from ray_jobs.config import RunConfig
from ray_jobs.stages import prepare
from synth.errors import BadInput


def make_config(folder: Path, *prompts: str) -> RunConfig:
    rows = [json.dumps({"prompt": prompt, "label": "harmful"}) for prompt in prompts]
    (folder / "suite.jsonl").write_text("\n".join(rows))
    return RunConfig.model_validate(
        {
            "run": str(folder / "run"),
            "teacher": {"model": "scripted"},
            "evaluate": {"suites": [{"name": "mine", "path": str(folder / "suite.jsonl")}]},
        }
    )


def test_what_is_near_a_suite_of_ones_own_is_not_trained_on(tmp_path: Path) -> None:
    plain = prepare(make_config(tmp_path, "Something else entirely, about weather?"))
    victim = plain.train[0]
    run = prepare(make_config(tmp_path, f"{victim.prompt} !"))
    assert victim.seed_id in run.contaminated
    assert victim.seed_id not in {seed.seed_id for seed in run.train}
    assert len(run.train) == len(plain.train) - 1
    assert f"{victim.prompt} !" in {seed.prompt for seed in run.evaluation}


def test_a_training_prompt_can_not_be_evaluated_on(tmp_path: Path) -> None:
    victim = prepare(make_config(tmp_path, "Something else entirely?")).train[0]
    with pytest.raises(BadInput, match="1 prompts are training prompts"):
        prepare(make_config(tmp_path, victim.prompt))
