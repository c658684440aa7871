"""The whole flow again, unchanged and with one threshold edited: what runs, and what does not.

Stages, plans, manifests and the scheduler are the real ones. The training leaves a folder that
says what it was given, and students are scripted.
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synth.chat import ChatSpec
from synth.chat.scripted import PLAUSIBLE
from synth.config.schema import Limits, ModelConfig
from synth.models.embedded import embedded_model_folder
from synth.models.identity import identify
from synth.pools.layout import PoolPlan
from synth.records import ABILITIES
from tests.ray_jobs.conftest import Cli
from train.encode import TrainingJob

pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*")

CONFIG = """
run: run
recipe: srg
samples: 2
seeds: {limit: {harmful: 8, benign: 8, borderline: 4}}
teacher: {model: scripted}
target: {model: embedded}
curate: {policy: mine.yaml}
limits: {workers: 0}
finetune: {}
evaluate:
  attacks: [rot13]
  samples: 1
  limit: {harmful: 2, benign: 2, borderline: 0}
  attack_limit: {harmful: 1, benign: 1}
  bootstrap_resamples: 100
"""
STAGES = ("curate", "finetune srg", "evaluate base", "evaluate srg", "compare")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each arm was trained and each model was asked."""
    counts: Counter[str] = Counter()

    def fit(job: TrainingJob, name: str, training: Path, folder: Path) -> dict[str, Any]:
        counts[f"train {job.arm}"] += 1
        folder.mkdir(parents=True)
        shutil.copy(embedded_model_folder() / "config.json", folder)
        shards = sorted(Path(job.curated, "sft").glob("train-*.parquet"))
        (folder / "model.txt").write_bytes(b"".join(shard.read_bytes() for shard in shards))
        return {"rows": 1, "steps": 1}

    def plan_scripts(
        models: Mapping[str, ModelConfig], run_digest: str, limits: Limits
    ) -> list[PoolPlan]:
        [(role, model)] = models.items()
        counts[f"ask {Path(str(model.model)).name}"] += 1
        model_id = identify(model).model_id
        spec = ChatSpec(kind="scripted", model_id=model_id, script=PLAUSIBLE, can=ABILITIES)
        return [PoolPlan(chats={role: spec})]

    monkeypatch.setitem(sys.modules, "train.fit", SimpleNamespace(fit=fit))
    cluster = SimpleNamespace(join_ray=lambda: None)
    monkeypatch.setitem(sys.modules, "synth.cluster.joining", cluster)
    monkeypatch.setattr("synth.batch.plan_pools", plan_scripts)
    return counts


def traces(run: Path) -> dict[str, bytes]:
    paths = [*run.glob("plan/*"), *run.glob("traces/*")]
    return {path.name: path.read_bytes() for path in paths}


def stage_lines(err: str) -> dict[str, str]:
    """What each stage said of itself last."""
    found = re.findall(r"\d (\S.*?): (complete, nothing to do|runs again, changed: .*)", err)
    return dict(found)


def test_one_threshold_reruns_what_stands_on_it_and_no_change_runs_nothing(
    cli: Cli, tmp_path: Path, runs: Counter[str]
) -> None:
    config, policy, run = tmp_path / "run.yaml", tmp_path / "mine.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    policy.write_text("min_answer_words: 1\n")
    first = cli("run", config)
    assert first.code == 0, first.err
    assert runs == {"train srg": 1, "ask embedded": 1, "ask srg": 1}
    made, page = traces(run), (run / "report.html").read_bytes()
    assert made

    same = cli("run", config)
    assert same.code == 0, same.err
    assert runs.total() == 3
    assert set(stage_lines(same.err).values()) == {"complete, nothing to do"}
    assert stage_lines(same.err).keys() >= {"synthesize", *STAGES[:4]}
    assert (run / "report.html").read_bytes() == page

    policy.write_text("min_answer_words: 12\n")
    edited = cli("run", config)
    assert edited.code == 0, edited.err
    said = stage_lines(edited.err)
    assert said["synthesize"] == "complete, nothing to do"
    assert traces(run) == made
    assert said["curate"] == "runs again, changed: policy"
    assert said["finetune srg"] == "runs again, changed: data"
    assert said["evaluate srg"] == "runs again, changed: model"
    assert said["evaluate base"] == "complete, nothing to do", "the base model is the same"
    assert runs == {"train srg": 2, "ask embedded": 1, "ask srg": 2}
    assert (run / "report.html").read_bytes() != page
    manifest = json.loads((run / "curated" / "mine" / "manifest.json").read_text())
    assert manifest["drops"]["srg"]["too_short"] > 0
