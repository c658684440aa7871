"""A command that works on a run is refused while another one does."""

import time
from pathlib import Path

import pytest

from synth import storage
from synth.drive.holder import progress_path
from synth.workspace.stage import dump
from tests.ray_jobs.conftest import Cli

CONFIG = """
run: run
recipe: refusal
samples: 1
seeds: {limit: {harmful: 4, benign: 4}}
teacher: {model: scripted}
target: {model: embedded}
limits: {workers: 0}
finetune: {}
evaluate: {}
"""


@pytest.mark.parametrize("verb", ["run", "synthesize", "curate", "finetune", "evaluate"])
def test_a_command_beside_another_one(cli: Cli, tmp_path: Path, verb: str) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG)
    beat = {"driver": "elsewhere:1", "at": time.time(), "ended": False}
    storage.replace(progress_path(str(tmp_path / "run")), dump(beat))
    ended = cli(verb, "run.yaml")
    assert ended.code == 2
    assert "elsewhere:1" in ended.err.splitlines()[-1]
    assert "--force" in ended.err.splitlines()[-1]
    assert storage.list_folders(str(tmp_path / "run")) == ["logs"]
