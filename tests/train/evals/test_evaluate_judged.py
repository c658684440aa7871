"""Answers judged by models, through the real scheduler in this process, on scripted models."""

import codecs
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from guidelines import BadInput
from synth.batch import RunBatch, run_batch
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.errors import RowFault
from synth.measures import read_measures
from synth.records import Message, Reply, Sampling
from synth.synthesize import RunOptions
from synth.workspace.workspace import Workspace, batch_folders
from tests.train.evaluations import HELP, REFUSAL, make_configs
from train.evals.config import EvaluateConfig
from train.evals.evaluate import evaluate
from train.evals.judge import UNCLOSED
from train.evals.records import Record, read_records

ANSWERED: list[str] = []
SHOWN: list[str] = []


def student(messages: Sequence[Message], sampling: Sampling) -> Reply:
    """Refuse half of what is asked, after a thought that says more than the answer."""
    asked = messages[-1]["content"]
    ANSWERED.append(asked)
    bad = "bad thing" in asked
    thought = "<think>\nThe worst of it.\n</think>\n\n" if bad else ""
    return Reply(text=thought + (REFUSAL if bad and "1" in asked else HELP), output_tokens=20)


def guard(messages: Sequence[Message], sampling: Sampling) -> str:
    """Find help with bad things unsafe, and every thought of the worst."""
    asked, text = messages[0]["content"], messages[1]["content"]
    bad = ("bad thing" in asked and text == HELP) or "worst" in text
    return "unsafe\nS1" if bad else "safe"


def loose(messages: Sequence[Message], sampling: Sampling) -> str:
    """Find nothing unsafe, and stumble over one prompt in ten."""
    return "I would rather not say." if "0?" in messages[0]["content"] else "safe"


def failing(messages: Sequence[Message], sampling: Sampling) -> str:
    """Be unable to judge one kind of answer, for now."""
    if messages[1]["content"] == REFUSAL:
        raise RowFault("rejected")
    return "safe"


def endless(messages: Sequence[Message], sampling: Sampling) -> Reply:
    """Begin a thought and never end it."""
    return Reply(text="<think>\nThe worst of it, and")


def coded(messages: Sequence[Message], sampling: Sampling) -> Reply:
    """Answer a cipher in the cipher."""
    is_coded = "Ubj qb V" in messages[-1]["content"]
    return Reply(text=codecs.encode(HELP, "rot13") if is_coded else HELP)


def attentive(messages: Sequence[Message], sampling: Sampling) -> str:
    """Note the question and the answer that are to be judged."""
    SHOWN.extend(message["content"] for message in messages[:2])
    return "safe"


def grader(messages: Sequence[Message], sampling: Sampling) -> str:
    """Note what is to be graded."""
    SHOWN.append(messages[0]["content"])
    return '{"refusal": 0, "convincingness": 3, "specificity": 3}'


def comparing(messages: Sequence[Message], sampling: Sampling) -> str:
    """Prefer the good answer wherever it stands; two alike are a tie."""
    good, poor = (messages[0]["content"].find(f"A {kind} answer") for kind in ("good", "poor"))
    better = "tie" if min(good, poor) < 0 else ("first" if good < poor else "second")
    return json.dumps({"better": better})


def scripted(name: str) -> dict[str, Any]:
    script = f"tests.train.evals.test_evaluate_judged:{name}"
    return {"model": "scripted", "engine_args": {"script": script}}


def configs(
    folder: Path, *judges: dict[str, Any], answering: str = "student", attack: str = "past_tense"
) -> tuple[SynthConfig, EvaluateConfig]:
    config, section = make_configs(
        folder, models=["base"], attacks=[attack], judges=list(judges), greedy=True
    )
    teacher = ModelConfig.model_validate(scripted(answering))
    return config.model_copy(update={"teacher": teacher, "limits": Limits(workers=0)}), section


def runner(config: SynthConfig) -> RunBatch:
    return partial(run_batch, config, RunOptions())


def results(config: SynthConfig) -> Any:
    return json.loads(Path(config.run, "evals", "base", "results.json").read_text())


def records_of(config: SynthConfig) -> list[Record]:
    return read_records(str(Path(config.run, "evals", "base", "records.parquet")))


def test_a_guard_judges_answer_reasoning_and_both(tmp_path: Path) -> None:
    scopes = ["answer", "reasoning", "both"]
    judge = {"name": "llama_guard3", "model": scripted("guard"), "scopes": scopes}
    config, section = configs(tmp_path, judge)
    evaluate(config, section, run_batch=runner(config))
    found = results(config)
    assert found["headline"] == "llama_guard3"
    assert [seat["judge"] for seat in found["judges"]] == ["refusal_rules", *["llama_guard3"] * 3]
    harmful = found["groups"][0]["labels"]["harmful"]
    asr = harmful["asr"]["llama_guard3"]
    assert 0 < asr["sampled"]["value"] < 1
    assert asr["greedy"]["value"] == asr["sampled"]["value"]
    assert not asr["proxy"]
    assert asr["corrected"] is None
    rates = harmful["guards"]["llama_guard3"]
    assert rates["reasoning"]["value"] == rates["both"]["value"] == 1
    assert rates["leak"]["value"] == pytest.approx(1 - asr["sampled"]["value"])
    assert list(rates["categories"]) == ["S1"]
    assert harmful["neither"]["value"] == 0


def test_another_judge_generates_nothing_again_and_a_replay_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    config, section = configs(tmp_path, {"name": "llama_guard3", "model": scripted("guard")})
    evaluate(config, section, run_batch=runner(config))
    file = Path(config.run, "evals", "base", "results.json")
    asked, before = len(ANSWERED), file.read_bytes()
    config, other = configs(tmp_path, {"name": "llama_guard3", "model": scripted("loose")})
    evaluate(config, other, run_batch=runner(config))
    assert file.read_bytes() != before
    evaluate(config, section, run_batch=runner(config))
    assert file.read_bytes() == before
    for manifest in Path(config.run, "evals").rglob("manifest.json"):
        manifest.unlink()
    evaluate(config, section, run_batch=runner(config))
    assert file.read_bytes() == before
    assert len(ANSWERED) == asked


def test_verdicts_that_can_not_be_read_are_counted_and_bounded(tmp_path: Path) -> None:
    config, section = configs(tmp_path, {"name": "llama_guard3", "model": scripted("loose")})
    evaluate(config, section, run_batch=runner(config))
    asr = results(config)["groups"][0]["labels"]["harmful"]["asr"]["llama_guard3"]["sampled"]
    assert asr["value"] == 0
    assert asr["undetermined"] > 0
    low, high = asr["bounds"]
    assert low == 0
    assert high == pytest.approx(asr["undetermined"] / asr["answers"], abs=1e-6)


def test_two_guards_are_compared(tmp_path: Path) -> None:
    first = {"name": "llama_guard3", "model": scripted("guard")}
    second = {"name": "wildguard", "model": scripted("loose")}
    config, section = configs(tmp_path, first, second)
    evaluate(config, section, run_batch=runner(config))
    [pair] = results(config)["disagreement"]
    assert (pair["first"], pair["second"]) == ("llama_guard3", "wildguard")
    assert pair["n"] == 0  # the other one never writes what this one reads


def test_verdicts_stand_beside_the_answers_as_a_measure(tmp_path: Path) -> None:
    config, section = configs(tmp_path, {"name": "llama_guard3", "model": scripted("guard")})
    evaluate(config, section, run_batch=runner(config))
    answers = next(path for name, path in batch_folders(config.run).items() if "answers" in name)
    [folder] = Path(answers, "measures").iterdir()
    name, _, revision = folder.name.rpartition("-")
    assert name == "llama_guard3.answer"
    rows = read_measures(Workspace(answers), name, revision).to_pylist()
    told = {r.row_id: r.judged[0] for r in records_of(config)}
    assert {row["row_id"]: row["verdict"] for row in rows} == {
        row_id: judged.verdict for row_id, judged in told.items()
    }


def test_verdicts_that_failed_are_no_measure_yet(tmp_path: Path) -> None:
    config, section = configs(tmp_path, {"name": "llama_guard3", "model": scripted("failing")})
    evaluate(config, section, run_batch=runner(config))
    reasons = {record.judged[0].reason for record in records_of(config)}
    assert reasons == {"", "failed RowFault"}
    answers = next(path for name, path in batch_folders(config.run).items() if "answers" in name)
    revision = results(config)["judges"][1]["revision"]
    rows = read_measures(Workspace(answers), "llama_guard3.answer", revision).to_pylist()
    assert len(rows) < len(records_of(config))
    assert {row["verdict"] for row in rows} <= {"safe"}


def test_reasoning_that_never_ends_is_judged_alone(tmp_path: Path) -> None:
    scopes = ["answer", "reasoning", "both"]
    judge = {"name": "llama_guard3", "model": scripted("guard"), "scopes": scopes}
    config, section = configs(tmp_path, judge, answering="endless")
    evaluate(config, section, run_batch=runner(config))
    found = {
        (said.scope, said.verdict, said.reason) for r in records_of(config) for said in r.judged
    }
    assert found == {
        ("answer", "undetermined", UNCLOSED),
        ("reasoning", "unsafe", ""),
        ("both", "undetermined", UNCLOSED),
    }


def test_judges_see_the_prompt_before_the_attack_and_the_answer_decoded(tmp_path: Path) -> None:
    SHOWN.clear()
    judge = {"name": "llama_guard3", "model": scripted("attentive")}
    config, section = configs(tmp_path, judge, answering="coded", attack="rot13")
    evaluate(config, section, run_batch=runner(config))
    assert {r.answer for r in records_of(config) if r.transform == "rot13"} == {
        codecs.encode(HELP, "rot13")
    }
    assert set(SHOWN[1::2]) == {HELP}
    assert all(prompt.startswith("How do I") for prompt in SHOWN[::2])


def test_a_judge_of_harmful_prompts_is_shown_no_other(tmp_path: Path) -> None:
    SHOWN.clear()
    config, section = configs(tmp_path, {"name": "strongreject", "model": scripted("grader")})
    evaluate(config, section, run_batch=runner(config))
    assert SHOWN
    assert all("bad thing" in asked for asked in SHOWN)
    harmful, benign = (results(config)["groups"][0]["labels"][of] for of in ("harmful", "benign"))
    assert harmful["strongreject"]["value"] == 0.5
    assert "strongreject" not in benign


def test_a_judge_without_a_model_is_refused_before_anything_runs(tmp_path: Path) -> None:
    config, section = configs(tmp_path, {"name": "llama_guard3"})
    asked = len(ANSWERED)
    with pytest.raises(BadInput, match=r"guard\.model"):
        evaluate(config, section, run_batch=runner(config))
    assert len(ANSWERED) == asked
