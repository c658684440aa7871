"""What the report reads of a run directory: the last evaluation, and nothing of earlier ones."""

import json
import tracemalloc
from pathlib import Path

import pytest
import yaml

from tests.train.evaluations import make_record
from tests.train.scripted_run import MODELS, change
from train.evals.records import write_records
from train.report.examples import outcome_groups
from train.report.read import read_run

ANALYSES = {"representation", "faithfulness"}


def test_only_evaluated_models_are_read_as_models(own_run: Path) -> None:
    files = read_run(str(own_run))
    assert list(files.results) == list(MODELS)
    assert files.evals.keys() == {*MODELS, *ANALYSES}


def test_models_of_an_earlier_evaluation_are_not_read(own_run: Path) -> None:
    change(own_run / "evals" / "manifest.json", models=["srg", "base"])
    files = read_run(str(own_run))
    assert list(files.results) == ["srg", "base"]
    assert files.evals.keys() == {"srg", "base", *ANALYSES}


def test_an_evaluation_that_has_not_ended_shows_what_is_done(own_run: Path) -> None:
    (own_run / "evals" / "manifest.json").unlink()
    assert list(read_run(str(own_run)).results) == sorted(MODELS)


@pytest.mark.parametrize("section", [None, {}, {"representation": None, "faithfulness": None}])
def test_an_analysis_that_nobody_asks_for_any_more_is_not_read(
    own_run: Path, section: dict[str, None] | None
) -> None:
    before = read_run(str(own_run))
    assert before.representation == json.loads((own_run / "evals/representation.json").read_text())
    assert before.faithfulness == json.loads((own_run / "evals/faithfulness.json").read_text())
    (own_run / "config.yaml").write_text(yaml.safe_dump({"run": "x", "evaluate": section}))
    after = read_run(str(own_run))
    assert after.representation == after.faithfulness == {}


def test_the_page_holds_the_texts_of_the_answers_that_it_shows_alone(own_run: Path) -> None:
    num_answers, text = 400, "so " * 12_000
    for name in MODELS:
        path = own_run / "evals" / name / "records.parquet"
        path.unlink()
        many = (
            make_record(row_id=f"{name}-{i}", origin=f"p{i}", answer=f"{name} {i}: {text}")
            for i in range(num_answers)
        )
        write_records(str(path), list(many))
    tracemalloc.start()
    shown = outcome_groups(read_run(str(own_run)), redact=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    [refused] = [one for one in shown if one.name == "Refused a harmful prompt"]
    assert refused.count == num_answers * len(MODELS)
    assert {example.answer for example in refused.examples} == {
        f"{name} {i}: {text}" for name in MODELS for i in (0, 1)
    }
    assert peak < num_answers * len(text) / 2  # the texts of half of one model's answers
