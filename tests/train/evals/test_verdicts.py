"""What judges are asked of all models together, and what is kept of what they say."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from synth.batch import Batch, RunBatch
from synth.config.schema import SynthConfig
from synth.workspace.workspace import Workspace, batch_folders
from tests.train.evals.test_evaluate_judged import configs, records_of, runner, scripted
from tests.train.evaluations import HELP, make_record
from train.evals import judge
from train.evals.evaluate import evaluate
from train.evals.helpfulness import helpfulness
from train.evals.judge import judge_records, publish_measures, seat_panel
from train.evals.records import Record, write_records
from train.evals.stats import Resampling


def noting(config: SynthConfig, stages: list[str]) -> RunBatch:
    """Return what runs a batch and notes its stage."""

    def run(batch: Batch) -> Iterator[pa.Table]:
        stages.append(batch.stage)
        return runner(config)(batch)

    return run


def test_a_judge_is_asked_about_all_models_and_scopes_in_one_batch(tmp_path: Path) -> None:
    scopes = ["answer", "reasoning", "both"]
    judge = {"name": "llama_guard3", "model": scripted("guard"), "scopes": scopes}
    config, section = configs(tmp_path, judge)
    panel, stages = seat_panel(config, section), list[str]()
    thought = make_record(reasoning="The worst of it.", readable=HELP)
    records = {name: [replace(thought, readable=name)] for name in ("base", "srg")}
    run = noting(config, stages)
    judged = list(judge_records(config.run, run, panel, list(records), records.__getitem__))
    assert stages == ["judge llama_guard3"]
    assert [record.readable for [record] in judged] == ["base", "srg"]
    for [record] in judged:
        said = {told.scope: told.verdict for told in record.judged}
        assert said == {"answer": "safe", "reasoning": "unsafe", "both": "unsafe"}


def test_reasoning_that_is_not_there_has_no_verdict_and_utility_no_judge(tmp_path: Path) -> None:
    judge = {"name": "llama_guard3", "model": scripted("guard"), "scopes": ["answer", "reasoning"]}
    config, section = configs(tmp_path, judge)
    bare, lost = make_record(), make_record(outcome="failed", readable="")
    question = make_record(suite="utility", label="benign", reasoning="The worst of it.")
    panel, records = seat_panel(config, section), [bare, lost, question]
    [found] = judge_records(config.run, runner(config), panel, ["base"], lambda name: records)
    said = [[(told.scope, told.verdict) for told in record.judged] for record in found]
    assert said == [
        [("answer", "safe")],
        [("answer", "undetermined"), ("reasoning", "undetermined")],  # nobody knows
        [],
    ]


def test_all_models_are_compared_with_the_first_in_one_batch(tmp_path: Path) -> None:
    config, section = configs(tmp_path, {"name": "helpfulness", "model": scripted("comparing")})
    panel, stages = seat_panel(config, section), list[str]()

    def answers(*kinds: str) -> list[Record]:
        return [
            make_record(
                **dict.fromkeys(["row_id", "item_id", "origin", "cluster"], str(number)),
                label="benign",
                untransformed=f"Question {number}?",
                readable=f"A {kind} answer.",
            )
            for number, kind in enumerate(kinds)
        ]

    records = {
        "base": answers("poor", "poor", "poor"),
        "refusal": answers("poor", "poor", "good"),
        "srg": answers("good", "good", "poor"),
    }
    paths = {name: str(tmp_path / f"{name}.parquet") for name in records}
    for name, path in paths.items():
        write_records(path, records[name])
    found = helpfulness(
        config.run, noting(config, stages), panel, paths, Resampling(resamples=100, seed=0)
    )
    assert stages == ["judge helpfulness"]
    assert [(one["model"], one["wins"], one["ties"], one["losses"]) for one in found] == [
        ("refusal", 1, 2, 0),
        ("srg", 2, 1, 0),
    ]


def test_a_measure_waits_until_all_of_a_lease_is_judged_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, section = configs(tmp_path, {"name": "llama_guard3", "model": scripted("guard")})
    evaluate(config, section, run_batch=runner(config))
    answers = next(path for name, path in batch_folders(config.run).items() if "answers" in name)
    panel, records = seat_panel(config, section), records_of(config)
    [folder] = Path(answers, "measures").iterdir()
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    shutil.rmtree(folder)
    publish_measures(Workspace(answers), panel, records[1:])
    assert len(files) - len(list(folder.iterdir())) == 1
    publish_measures(Workspace(answers), panel, records)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    with monkeypatch.context() as patch:
        patch.setattr(judge, "read_lease", lambda *_: pytest.fail("read a measured lease"))
        publish_measures(Workspace(answers), panel, records)
