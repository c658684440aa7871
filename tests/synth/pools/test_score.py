"""Models that score, without an engine: configuration, layout, metering, scripts."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from guidelines import BadInput, GuidelineSet
from synth.batch import Batch, run_batch
from synth.calls import metering
from synth.calls.gate import Gate
from synth.calls.metering import Meter, MeteredChat, PoolHealth
from synth.chat.scripted import Script, ScriptedChat
from synth.config.schema import Limits, ModelConfig, Replicas, Resources, SynthConfig
from synth.errors import EngineDied, PoolFault, Refused, RowFault
from synth.pools.layout import chats_of, check_fit, plan_pools
from synth.pools.replica import open_engine
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Message, Reply, Sampling, Trace
from synth.synthesize import RunOptions
from tests.synth import factories
from tests.synth.factories import make_items

ASKED = [
    Message(role="user", content="Name a colour."),
    Message(role="assistant", content="Red is a colour"),
]


def metered(script: Script) -> MeteredChat:
    return factories.metered(ScriptedChat(script), "reward", Gate(4), PoolHealth(60))


def folder(parent: Path, name: str) -> str:
    made = parent / name
    made.mkdir()
    (made / "config.json").write_text(name)
    return str(made)


def check(models: dict[str, ModelConfig]) -> None:
    check_fit(plan_pools(models, "run", Limits()))


# Metering


async def test_a_score_is_metered_like_a_completion() -> None:
    model = metered([0.5, -1.0])
    assert [await model.score(ASKED), await model.score(ASKED)] == [0.5, -1.0]
    usage = model.meter.usage["reward"]
    assert (usage.calls, usage.prompt_tokens, usage.output_tokens) == (2, 14, 0)
    assert model.meter.calls == 2
    assert model.calls.prompt_tokens == 14


async def test_a_score_waits_out_the_pools_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.001)
    faults: list[Exception] = [PoolFault("no replica"), EngineDied("the replica died")]

    def script(messages: Sequence[Message], sampling: Sampling) -> float:
        if faults:
            raise faults.pop()
        return 2.0

    model = metered(script)
    assert await model.score(ASKED) == 2.0
    assert (model.meter.calls, model.meter.engine_deaths) == (1, 1)


async def test_a_model_writes_or_scores() -> None:
    with pytest.raises(Refused, match="the reward model writes text"):
        await metered(["a text"]).score(ASKED)
    with pytest.raises(Refused, match="the reward model scores"):
        await metered([0.5])(ASKED, Sampling())


@pytest.mark.parametrize("score", [math.nan, math.inf])
async def test_a_score_that_can_not_be_compared_is_the_rows_fault(score: float) -> None:
    with pytest.raises(RowFault, match="the reward model's score is"):
        await metered([score]).score(ASKED)


async def test_a_score_is_no_text_to_look_back_at() -> None:
    meter = Meter()
    meter.book("student", Reply(text="an answer"))
    meter.book("reward", Reply(text="", score=1.0))
    assert meter.last_raw == "an answer"


# What serves it


def test_a_scoring_model_never_shares_a_pool_with_one_that_writes() -> None:
    text = ModelConfig(model="any", backend="scripted")
    models = {"student": text, "reward": text.model_copy(update={"head": "score"})}
    pools = plan_pools(models, "run", Limits())
    assert [pool.roles for pool in pools] == [("student",), ("reward",)]
    specs = chats_of(pools)
    assert "prefix" in specs["student"].can
    assert specs["reward"].can == frozenset()


def test_without_a_gpu_one_engine_scores_beside_one_that_writes(tmp_path: Path) -> None:
    writes = {role: ModelConfig(model=folder(tmp_path, role)) for role in ("student", "teacher")}
    scores = {
        role: ModelConfig(model=folder(tmp_path, role), head="score")
        for role in ("reward", "other")
    }
    check({"student": writes["student"], "reward": scores["reward"]})
    with pytest.raises(BadInput, match=r"student and teacher.*one engine that writes"):
        check(writes)
    with pytest.raises(BadInput, match=r"reward and other.*one engine that scores"):
        check(scores)
    several = scores["reward"].model_copy(update={"replicas": Replicas(max=2)})
    with pytest.raises(BadInput, match="one replica"):
        check({"reward": several})


def test_gpu_shares_count_whatever_the_head() -> None:
    model = ModelConfig(
        model="org/model",
        revision="a" * 40,
        resources=Resources(num_gpus=0.5),
        engine_args={"gpu_memory_utilization": 0.5},
    )
    with pytest.raises(BadInput, match="may meet on one GPU"):
        check({"student": model, "reward": model.model_copy(update={"head": "score"})})


def test_an_endpoint_does_not_score() -> None:
    endpoint = {"base_url": "http://host/v1", "model": "big"}
    with pytest.raises(ValidationError, match="an endpoint writes text"):
        ModelConfig.model_validate({"endpoint": endpoint, "head": "score"})


async def test_a_scripted_engine_has_a_head_too() -> None:
    model = ModelConfig(model="any", backend="scripted", head="score")
    engine = open_engine(model, 1, 0)
    first, again = [await engine.complete(ASKED, Sampling()) for _ in range(2)]
    other = await engine.complete(ASKED[:1], Sampling())
    assert first.score is not None
    assert first.score == again.score != other.score
    assert first.text == ""


# Through the scheduler


async def rate_own_answer(
    item: Item, models: Models, guidelines: GuidelineSet | None
) -> list[Trace]:
    reply = await models.student(item.seed.messages, models.sampling)
    said = Message(role="assistant", content=reply.text)
    score = await models.reward.score([*item.seed.messages, said])  # pyrefly: ignore
    return [Trace(reasoning="", answer=reply.text, payload={"score": score})]


RATE = Recipe(
    name="rate",
    version=1,
    steps=(Step(rate_own_answer, roles=("student", "reward")),),
    needs={"student": frozenset(), "reward": frozenset()},
    guided=False,
)


def test_a_step_calls_both_kinds_of_models_and_both_are_counted(tmp_path: Path) -> None:
    scripted = ModelConfig(model="scripted")
    config = SynthConfig(run=str(tmp_path), teacher=scripted, limits=Limits(workers=0))
    batch = Batch(
        stage="test",
        workspace=str(tmp_path / "batch"),
        parts=[make_items(4)],
        recipe=f"{__name__}.RATE",
        models={"student": scripted, "reward": scripted.model_copy(update={"head": "score"})},
        sampling=Sampling(),
        fingerprint="f" * 24,
    )
    [table] = run_batch(config, RunOptions(), batch)
    assert table["outcome"].to_pylist() == ["ok"] * 4
    assert table["calls"].to_pylist() == [2] * 4
