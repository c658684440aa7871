"""Model judges through the real scheduler, in this process, on scripted guards."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from synth.batch import Batch, RunBatch, asking_revision, judge_exchanges, judge_revision, run_batch
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.dataset import retry_failed
from synth.errors import PoolDown
from synth.judges import JUDGES
from synth.judges.base import Exchange, ModelJudge, Verdict
from synth.records import Message
from synth.status import read_status
from synth.synthesize import RunOptions
from synth.workspace.workspace import batch_workspace
from tests.synth import guards


def model_judge(name: str) -> ModelJudge:
    judge = JUDGES[name]
    assert isinstance(judge, ModelJudge)
    return judge


GUARD = model_judge("llama_guard3")


def guard(script: str) -> ModelConfig:
    return ModelConfig(model="scripted", engine_args={"script": f"tests.synth.guards:{script}"})


def runner(folder: Path, **limits: float) -> RunBatch:
    config = SynthConfig(
        run=str(folder),
        teacher=ModelConfig(model="scripted"),
        limits=Limits.model_validate({"workers": 0, "pool_deadline_s": 0.5} | limits),
    )
    return partial(run_batch, config, RunOptions())


def judged(folder: Path, script: str, texts: list[str], judge: ModelJudge = GUARD) -> list[Verdict]:
    exchanges = [Exchange(prompt="A question.", text=text) for text in texts]
    model = guard(script)
    workspace = batch_workspace(str(folder), "verdicts", asking_revision(judge, model))
    return judge_exchanges(runner(folder), workspace, judge, model, exchanges, "judge")


def test_equal_exchanges_are_asked_once_and_never_again(tmp_path: Path) -> None:
    guards.ASKED.clear()
    texts = ["a bad text", "a fine text", "a bad text"]
    first = judged(tmp_path, "strict", texts)
    assert [found.verdict for found in first] == ["unsafe", "safe", "unsafe"]
    assert first[0].categories == ("S2",)
    assert first[0].raw.strip() == "unsafe\nS2"
    assert len(guards.ASKED) == 2
    assert judged(tmp_path, "strict", [*texts, "another bad one"])[:3] == first
    assert len(guards.ASKED) == 3


def test_judges_that_ask_the_same_share_the_reply_and_read_it_each(tmp_path: Path) -> None:
    guards.ASKED.clear()
    names = ["qwen3guard_strict", "qwen3guard_loose", "qwen3guard_refusal"]
    found = [judged(tmp_path, "controversial", ["a text"], model_judge(name))[0] for name in names]
    assert [one.verdict for one in found] == ["unsafe", "safe", "compliance"]
    assert {one.raw for one in found} == {guards.CONTROVERSIAL}
    assert len(guards.ASKED) == 1


def test_another_reading_asks_for_no_new_reply(tmp_path: Path) -> None:
    guards.ASKED.clear()
    judged(tmp_path, "strict", ["a bad text"])
    lenient = replace(GUARD, version=2, parse=lambda reply: Verdict(verdict="safe"))
    [found] = judged(tmp_path, "strict", ["a bad text"], lenient)
    assert found == Verdict(verdict="safe", raw="\n\nunsafe\nS2")
    assert len(guards.ASKED) == 1
    assert judge_revision(lenient, guard("strict")) != judge_revision(GUARD, guard("strict"))


def test_another_question_is_asked_even_where_the_sample_does_not_show_it(tmp_path: Path) -> None:
    guards.ASKED.clear()
    judged(tmp_path, "strict", ["a bad text"])

    def milder(exchange: Exchange) -> list[Message]:
        return GUARD.ask(replace(exchange, text=exchange.text.replace("bad", "mild")))

    [found] = judged(tmp_path, "strict", ["a bad text"], replace(GUARD, ask=milder))
    assert found.verdict == "safe"
    assert guards.ASKED == ["a bad text", "a mild text"]


@pytest.mark.parametrize("change", [{"max_tokens": 7}, {"asks": "another"}])
def test_replies_belong_to_how_they_were_asked_for(change: dict[str, Any]) -> None:
    model = guard("strict")
    other = replace(GUARD, **change)
    assert asking_revision(other, model) != asking_revision(GUARD, model)
    assert asking_revision(GUARD, guard("silent")) != asking_revision(GUARD, model)


def test_judges_of_one_question_ask_it_alike() -> None:
    asked: dict[str, set[Any]] = {}
    for judge in JUDGES.values():
        if isinstance(judge, ModelJudge):
            asked.setdefault(judge.question, set()).add((judge.ask, judge.max_tokens, judge.role))
    assert {question: len(ways) for question, ways in asked.items()} == dict.fromkeys(asked, 1)
    assert len(asked) == len(JUDGES) - 3  # the rules ask nothing, and three judges the same


def test_whatever_keeps_a_judge_from_a_verdict_is_the_reason(tmp_path: Path) -> None:
    texts = ["fine", "too long", "cut off", "garbled", "  ", "late"]
    found = judged(tmp_path, "troubled", texts)
    assert [one.verdict for one in found] == ["safe", *["undetermined"] * 5]
    reasons = [one.reason for one in found[1:]]
    assert reasons == ["invalid", "cut off", "format", "empty", "failed Overdue"]


def test_what_failed_is_shown_and_planned_again(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("run: here\nfingerprint: {}\n")
    judged(tmp_path, "troubled", ["fine", "late"])
    [states] = read_status(str(tmp_path)).batches.values()
    assert states == {"ok": 1, "failed": 1}
    assert retry_failed(str(tmp_path)) == 1
    [states] = read_status(str(tmp_path)).batches.values()
    assert states == {"ok": 1, "failed": 1, "owed": 1}


def test_a_pool_that_answers_nothing_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(PoolDown, match="judge"):
        judged(tmp_path, "silent", ["a text", "another"])


def test_the_revision_changes_with_the_model_and_with_the_prompt() -> None:
    revisions = {judge_revision(GUARD, guard(script)) for script in ("strict", "silent")}
    other = JUDGES["xstest"]
    assert len(revisions | {judge_revision(other, guard("strict"))}) == 3


def test_rules_are_asked_without_a_scheduler(tmp_path: Path) -> None:
    def never(batch: Batch) -> Iterator[pa.Table]:
        raise AssertionError("rules need no batch")

    exchange = Exchange(prompt="", text="I'm sorry, but I can't help with that.")
    rules = JUDGES["refusal_rules"]
    [found] = judge_exchanges(never, str(tmp_path), rules, None, [exchange], "")
    assert found.verdict == "refusal"
