"""A judge asked inside a step says what the batch of verdicts would say."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from synth.batch import asking_revision, judge_exchanges, run_batch
from synth.chat.scripted import ScriptedChat, load_script
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.errors import Invalid
from synth.judges import JUDGES
from synth.judges.base import Exchange, ModelJudge, Verdict, undetermined
from synth.recipes.asking import ask_judge
from synth.records import Message, Sampling
from synth.synthesize import RunOptions
from synth.workspace.workspace import batch_workspace

SCRIPT = "tests.synth.guards:troubled"
GUARD = JUDGES["llama_guard3"]


def exchange(text: str) -> Exchange:
    return Exchange(prompt="A question.", text=text)


async def test_rules_need_no_model() -> None:
    verdict = await ask_judge(
        JUDGES["refusal_rules"], exchange("I'm sorry, but I can't help with that."), None
    )
    assert verdict.verdict == "refusal"


async def test_a_model_is_asked_once_and_greedily() -> None:
    asked: list[tuple[list[Message], Sampling]] = []

    def script(messages: Sequence[Message], sampling: Sampling) -> str:
        asked.append((list(messages), sampling))
        return "unsafe\nS2"

    verdict = await ask_judge(GUARD, exchange("a text"), ScriptedChat(script))
    assert verdict == Verdict(verdict="unsafe", categories=("S2",), raw="unsafe\nS2")
    assert isinstance(GUARD, ModelJudge)
    sampling = Sampling(temperature=0, max_tokens=GUARD.max_tokens)
    assert asked == [(GUARD.ask(exchange("a text")), sampling)]


async def test_an_empty_text_is_not_shown_to_a_model() -> None:
    assert await ask_judge(GUARD, exchange(" \n"), ScriptedChat([])) == undetermined("empty")


async def test_a_text_over_the_judges_context_ends_the_row() -> None:
    with pytest.raises(Invalid, match="longer than the context"):
        await ask_judge(GUARD, exchange("a long text"), ScriptedChat(load_script(SCRIPT)))


def test_verdicts_are_those_of_the_batch(tmp_path: Path) -> None:
    exchanges = [exchange(text) for text in ("a text", "is cut", "is garbled", "")]
    config = SynthConfig(
        run=str(tmp_path), teacher=ModelConfig(model="scripted"), limits=Limits(workers=0)
    )
    model = ModelConfig(model="scripted", engine_args={"script": SCRIPT})
    assert isinstance(GUARD, ModelJudge)
    workspace = batch_workspace(str(tmp_path), "verdicts", asking_revision(GUARD, model))
    run = partial(run_batch, config, RunOptions())
    batch = judge_exchanges(run, workspace, GUARD, model, exchanges, "judge")
    chat = ScriptedChat(load_script(SCRIPT))
    assert [asyncio.run(ask_judge(GUARD, one, chat)) for one in exchanges] == batch
