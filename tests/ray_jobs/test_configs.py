"""Every configuration that ships is one, and the starter project works as it is."""

from importlib.resources import files
from pathlib import Path

import pytest

from ray_jobs.checks import check_run
from ray_jobs.config import RunConfig
from ray_jobs.init import write_starter
from ray_jobs.stages import prepare
from synth.config.loading import load_config
from tests.ray_jobs.conftest import Cli
from train.evals.suites import eval_items, load_suites

SHIPPED = sorted(Path(str(files("ray_jobs") / "configs")).glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_configuration_parses_and_passes_its_checks(path: Path) -> None:
    config = load_config(path, (), RunConfig)
    check_run(config, here=False)
    assert config.finetune is not None
    assert config.evaluate is not None
    assert config.run == f"runs/{path.stem}"


def test_the_demo_evaluates_what_it_promises() -> None:
    [path] = [path for path in SHIPPED if path.stem == "demo"]
    config = load_config(path, (), RunConfig)
    assert config.evaluate is not None
    assert config.evaluate.samples >= 4
    asked: dict[tuple[str, str], set[str]] = {}
    for item in eval_items(load_suites(config, config.evaluate), config.evaluate):
        group = (item.payload["transform"], item.seed.label)
        asked.setdefault(group, set()).add(item.seed.seed_id)
    counts = {group: len(prompts) for group, prompts in asked.items()}
    wanted = {("plain", "harmful"): 24, ("plain", "benign"): 24, ("plain", "borderline"): 12}
    for attack in ("rot13", "past_tense"):
        wanted |= {(attack, "harmful"): 12, (attack, "benign"): 12}
    assert counts == wanted


def test_the_starter_project_runs(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path).code == 0
    assert cli("check", "run.yaml").code == 0
    run = prepare(load_config("run.yaml", (), RunConfig))
    for half in (run.train, run.evaluation):
        assert {seed.label for seed in half} == {"harmful", "benign"}
    ended = cli("run", "run.yaml", "--dry-run")
    assert ended.code == 0, ended.err
    assert "brief" in ended.out


def test_init_writes_over_nothing(cli: Cli, tmp_path: Path) -> None:
    write_starter(tmp_path)
    (tmp_path / "run.yaml").write_text("mine")
    ended = cli("init", tmp_path)
    assert ended.code == 2
    assert "is not written over" in ended.line
    assert (tmp_path / "run.yaml").read_text() == "mine"


def test_the_schema_is_that_of_a_whole_run(cli: Cli) -> None:
    ended = cli("schema")
    assert ended.code == 0
    for section in ("sampling", "finetune", "evaluate"):
        assert f'"{section}"' in ended.out
