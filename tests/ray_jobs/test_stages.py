"""The glue between stages: what is evaluated stays out of training."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from ray_jobs import stages
from ray_jobs.config import RunConfig
from ray_jobs.stages import prepare
from synth.errors import BadInput, RowFault
from synth.records import Message, Sampling
from synth.synthesize import RunOptions
from synth.workspace.stage import Manifest
from tests.ray_jobs.conftest import Cli
from tests.train.curated import sft_row, write_curated

EVALUATED = """
run: run
samples: 1
seeds: {limit: {harmful: 2, benign: 2, borderline: 0}}
teacher: {model: scripted}
guard: {model: scripted, engine_args: {script: "tests.ray_jobs.test_stages:refusing"}}
limits: {workers: 0}
evaluate:
  attacks: []
  limit: {harmful: 2, benign: 2, borderline: 0}
  samples: 1
  greedy: false
  utility: false
  bootstrap_resamples: 100
  judges: [llama_guard3]
"""


def refusing(messages: Sequence[Message], sampling: Sampling) -> str:
    """Take no text at all."""
    raise RowFault("no")


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


def test_an_arm_that_is_left_out_is_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def evaluate(*_: object, students: object, **__: object) -> dict[str, Manifest]:
        asked.append(students)
        return {}

    monkeypatch.setattr(stages, "evaluate", evaluate)
    write_curated(tmp_path, [sft_row("s1", "srg", "a", "A")])
    told = {"run": str(tmp_path), "recipe": ["refusal", "srg"], "evaluate": {}}
    for section in ({"without_data": "go_on"}, {"without_data": "refuse"}):
        config = RunConfig.model_validate(told | {"finetune": section})
        stages.evaluate_students(config, RunOptions())
    assert asked == [{"srg": ("srg",)}, {"refusal": ("refusal",), "srg": ("srg",)}]


def test_a_judge_that_fails_leaves_the_evaluation_unmet(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(EVALUATED)
    ended = cli("run", "run.yaml")
    assert ended.code == 3, ended.err
    assert "unmet: 4 of 4 verdicts of llama_guard3 failed, " in " ".join(ended.out.split())
    before = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert cli("evaluate", "run.yaml", "--set", "evaluate.seed=5").code == 3
    assert cli("evaluate", "run.yaml", "--set", "evaluate.judges=[]").code == 0
    after = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert after == before | {"evaluate": before["evaluate"] | {"judges": []}}
