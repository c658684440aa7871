"""What the report reads of a run directory: the last evaluation, and nothing of earlier ones."""

import json
from pathlib import Path

import pytest
import yaml

from tests.train.report_files import write_json, write_run
from tests.train.report_parts import MODELS
from train.report.read import read_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(write_run(tmp_path))


def test_only_evaluated_models_are_read_as_models(run: Path) -> None:
    write_json(run / "evals" / "faithfulness" / "manifest.json", {"seconds": 2.0})
    files = read_run(str(run))
    assert list(files.results) == list(MODELS)
    assert files.evals.keys() == {*MODELS, "faithfulness"}


def test_models_of_an_earlier_evaluation_are_not_read(run: Path) -> None:
    write_json(run / "evals" / "manifest.json", {"models": ["srg", "base"], "seconds": 2.0})
    files = read_run(str(run))
    assert list(files.results) == list(files.records) == ["srg", "base"]
    assert files.evals.keys() == {"srg", "base"}


def test_an_evaluation_that_has_not_ended_shows_what_is_done(run: Path) -> None:
    (run / "evals" / "manifest.json").unlink()
    assert list(read_run(str(run)).results) == sorted(MODELS)


@pytest.mark.parametrize("section", [None, {}, {"representation": None, "faithfulness": None}])
def test_an_analysis_that_nobody_asks_for_any_more_is_not_read(
    run: Path, section: dict[str, None] | None
) -> None:
    before = read_run(str(run))
    assert before.representation == json.loads((run / "evals/representation.json").read_text())
    assert before.faithfulness == json.loads((run / "evals/faithfulness.json").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({"run": "x", "evaluate": section}))
    after = read_run(str(run))
    assert after.representation == after.faithfulness == {}
