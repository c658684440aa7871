"""Students under test-time search: one more model of an evaluation each."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from guidelines import BadInput
from synth.batch import Batch, run_batch
from synth.config.schema import Limits, SynthConfig
from synth.models.families import OUTPUT_OPEN, STEP_OPEN
from synth.recipes.surgery import OUTPUT_CLOSE, write_steps
from synth.records import Reply
from synth.synthesize import RunOptions
from synth.workspace.workspace import batch_folders
from tests.train.evaluations import make_configs
from train.evals.ask import answer_trace
from train.evals.config import EvaluateConfig
from train.evals.evaluate import evaluate
from train.evals.records import read_records

BON = {"kind": "best_of_n", "reward": "srg-prm", "n": 3}
BEAM = {"kind": "beam", "reward": "srg-prm", "width": 2, "expand": 1, "depth": 2}


def with_search(folder: Path, search: dict[str, Any]) -> tuple[SynthConfig, EvaluateConfig]:
    """Return a run with a reward model beside its students, and a small evaluation of it."""
    config, section = make_configs(
        folder,
        attacks=[],
        limit={"harmful": 2, "benign": 2, "borderline": 0},
        sampling={"max_tokens": 30},
        greedy=True,
        search=search,
    )
    reward = Path(config.run, "models", "srg-prm")
    reward.mkdir()
    (reward / "manifest.json").write_text('{"arm": "srg"}')
    told = {"architectures": ["LlamaForSequenceClassification"]}
    (reward / "config.json").write_text(json.dumps(told))
    return config.model_copy(update={"limits": Limits(workers=0)}), section


def scripted_batches(config: SynthConfig, seen: list[Batch] | None = None) -> Any:
    """Return what runs batches with every model replaced by a script of the same head."""

    def run(batch: Batch) -> Iterator[pa.Table]:
        if seen is not None:
            seen.append(batch)
        models = {
            role: model.model_copy(update={"model": "scripted"})
            for role, model in batch.models.items()
        }
        return run_batch(config, RunOptions(), replace(batch, models=models))

    return run


def evaluated(folder: Path, search: dict[str, Any]) -> tuple[SynthConfig, list[Batch]]:
    config, section = with_search(folder, search)
    seen: list[Batch] = []
    evaluate(config, section, run_batch=scripted_batches(config, seen))
    return config, seen


@pytest.mark.parametrize(
    ("search", "suffix", "candidates", "calls"),
    [(BON, "bon3", 3, 6), (BEAM, "beam2x1", 2, 4)],
)
def test_a_searched_student_is_one_more_model(
    tmp_path: Path, search: dict[str, Any], suffix: str, candidates: int, calls: int
) -> None:
    config, seen = evaluated(tmp_path, {**search, "models": ["srg"]})
    name = f"srg-{suffix}"
    folders = [path.name for path in Path(config.run, "evals").iterdir() if path.is_dir()]
    assert sorted(folders) == sorted(["base", "refusal", "srg", name])
    batch = next(batch for batch in seen if batch.stage == f"evaluate {name}")
    assert list(batch.models) == ["student", "reward"]
    assert batch.models["reward"].head == "score"
    [items] = batch.parts
    [table] = scripted_batches(config)(replace(batch, columns=("calls", "payload")))
    assert table["calls"].to_pylist() == [calls] * len(items)
    told = [json.loads(payload) for payload in table["payload"].to_pylist()]
    assert {one["candidates"] for one in told} == {candidates}
    assert all(one["score"] == max(one["scores"]) for one in told)
    assert all(isinstance(one["closed"], bool) for one in told)


def test_a_searched_student_has_results_of_its_own(tmp_path: Path) -> None:
    config, _ = evaluated(tmp_path, BON)
    folder = Path(config.run, "evals")
    manifest = json.loads((folder / "srg-bon3" / "manifest.json").read_text())
    assert manifest["model"].startswith("srg@")
    assert manifest["reward"].startswith("srg-prm@")
    assert manifest["search"] == {"kind": "best_of_n", "n": 3, "aggregate": "last"}
    records = read_records(str(folder / "srg-bon3" / "records.parquet"))
    assert len(records) == len(read_records(str(folder / "srg" / "records.parquet")))
    comparison = json.loads((folder / "comparison.json").read_text())
    assert comparison["primary"]["model"] == "srg"
    models = {one["model"] for one in comparison["others"]}
    assert {"refusal-bon3", "srg-bon3"} <= models


def test_another_search_asks_only_the_searched_again(tmp_path: Path) -> None:
    config, section = with_search(tmp_path, {**BON, "models": ["srg"]})
    evaluate(config, section, run_batch=scripted_batches(config))
    before = batch_folders(config.run)
    results = Path(config.run, "evals", "srg", "manifest.json").stat().st_mtime_ns
    min_of = section.model_copy(
        update={"search": section.search.model_copy(update={"aggregate": "min"})}  # pyrefly: ignore
    )
    evaluate(config, min_of, run_batch=scripted_batches(config))
    [fresh] = batch_folders(config.run).keys() - before.keys()
    assert fresh.startswith("answers-srg-bon3")
    assert Path(config.run, "evals", "srg", "manifest.json").stat().st_mtime_ns == results


def test_another_reward_model_asks_the_searched_again(tmp_path: Path) -> None:
    config, section = with_search(tmp_path, {**BON, "models": ["srg"]})
    evaluate(config, section, run_batch=scripted_batches(config))
    before = batch_folders(config.run)
    Path(config.run, "models", "srg-prm", "manifest.json").write_text('{"trained": "again"}')
    evaluate(config, section, run_batch=scripted_batches(config))
    [fresh] = batch_folders(config.run).keys() - before.keys()
    assert fresh.startswith("answers-srg-bon3")


def test_a_comparison_may_name_a_searched_student(tmp_path: Path) -> None:
    config, section = with_search(tmp_path, {**BON, "models": ["srg"]})
    primary = {"primary": "discrimination: srg-bon3 vs srg"}
    wanted = EvaluateConfig.model_validate(section.model_dump() | primary)
    evaluate(config, wanted, run_batch=scripted_batches(config))
    comparison = json.loads(Path(config.run, "evals", "comparison.json").read_text())
    assert comparison["primary"]["model"] == "srg-bon3"


@pytest.mark.parametrize(
    ("search", "field"),
    [
        ({**BON, "reward": "srg"}, "evaluate.search.reward"),
        ({**BON, "reward": "none"}, "evaluate.search.reward"),
        ({**BON, "models": ["other"]}, "evaluate.search.models"),
    ],
)
def test_what_can_not_search_is_said_before_generating(
    tmp_path: Path, search: dict[str, Any], field: str
) -> None:
    config, section = with_search(tmp_path, search)

    def never(batch: Batch) -> Iterator[pa.Table]:
        raise AssertionError("must be refused first")

    with pytest.raises(BadInput) as refused:
        evaluate(config, section, run_batch=never)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "section",
    [
        {"search": {"kind": "beam", "reward": "srg-prm", "n": 8}},
        {"search": {"kind": "best_of_n", "reward": "srg-prm", "n": 1}},
        {"search": {"kind": "none", "reward": "srg-prm"}},
        {"search": BON, "sampling": {"temperature": 0}},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluateConfig.model_validate(section)


# Answers in marked steps


def split(text: str) -> tuple[str, str, bool]:
    trace = answer_trace(Reply(text=text))
    return trace.reasoning, trace.answer, trace.payload["closed"]


def test_marked_steps_are_taken_apart() -> None:
    text = write_steps(["What is asked?", "It is safe."], "Use a whetstone.")
    assert split(text) == ("What is asked?\n\nIt is safe.", "Use a whetstone.", True)


def test_steps_without_an_answer_are_not_closed() -> None:
    text = write_steps(["What is asked?"], "x").partition(OUTPUT_OPEN)[0]
    assert split(text) == ("What is asked?", "", False)
    assert split(f"{text}{STEP_OPEN}It is") == ("What is asked?\n\nIt is", "", False)


def test_an_answer_that_breaks_off_is_an_answer() -> None:
    text = write_steps(["What is asked?"], "Use a whetstone.").removesuffix(OUTPUT_CLOSE)
    assert split(text) == ("What is asked?", "Use a whetstone.", True)


def test_marks_in_disorder_hide_nothing() -> None:
    assert split(f"Sure.{STEP_OPEN}Is it?") == ("", "Sure.Is it?", True)
    whole = write_steps(["What is asked?"], "No.")
    reasoning, answer, closed = split(f"{whole} But here is how.")
    assert (reasoning, closed) == ("", True)
    assert "But here is how." in answer


def test_facts_of_a_search_stand_beside_those_of_the_answer() -> None:
    trace = answer_trace(Reply(text="Yes.", finish_reason="length"), {"candidates": 8})
    assert trace.payload == {"closed": True, "finish_reason": "length", "candidates": 8}
    assert str(trace.outcome) == "truncated"
