"""An evaluation on real engines: the embedded model answers, and the same model judges.

It is no good judge, and that is the point: whatever it writes is a verdict of its judge's classes
or undetermined with a reason, and every answer is judged once.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray

from synth.batch import run_batch
from synth.config.schema import Limits, ModelConfig, SeedsConfig, SynthConfig
from synth.judges import find_judge
from synth.synthesize import RunOptions
from synth.workspace.workspace import Workspace, batch_folders
from train.evals.config import EvaluateConfig
from train.evals.evaluate import evaluate
from train.evals.records import read_records

pytestmark = [pytest.mark.ray, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

ENGINE = ModelConfig(model="embedded", engine_args={"max_model_len": 2048, "max_num_seqs": 16})
JUDGES = ("llama_guard3",)


@pytest.fixture
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_every_answer_of_a_real_student_is_judged_by_a_real_judge(tmp_path: Path) -> None:
    config = SynthConfig(
        run=str(tmp_path / "run"),
        seeds=SeedsConfig(path="embedded"),
        teacher=ENGINE,
        guard=ENGINE,
        limits=Limits(call_timeout_s=120),
    )
    section = EvaluateConfig.model_validate(
        {
            "models": ["base"],
            "attacks": ["rot13"],
            "limit": {"harmful": 3, "benign": 3, "borderline": 0},
            "attack_limit": {"harmful": 1, "benign": 1, "borderline": 0},
            "samples": 2,
            "sampling": {"max_tokens": 48},
            "utility": False,
            "judges": [{"name": name, "scopes": ["answer"]} for name in JUDGES],
            "bootstrap_resamples": 200,
        }
    )
    evaluate(config, section, run_batch=partial(run_batch, config, RunOptions()))
    folder = Path(config.run, "evals", "base")
    records = read_records(str(folder / "records.parquet"))
    assert len(records) == 8 * 3
    assert {record.decoding for record in records} == {"sampled", "greedy"}
    for name in JUDGES:
        told = [record.says(name) for record in records]
        assert all(one is not None for one in told)
        for one in told:
            assert one is not None
            assert one.verdict in (*find_judge(name).classes, "undetermined")
            assert bool(one.reason) == (one.verdict == "undetermined")
    found = json.loads((folder / "results.json").read_text())
    assert [seat["judge"] for seat in found["judges"]] == ["refusal_rules", *JUDGES]
    for workspace in batch_folders(config.run).values():
        rows = sum(counts.rows for counts in Workspace(workspace).counts())
        assert 0 < rows <= len(records), "equal exchanges are asked once"
