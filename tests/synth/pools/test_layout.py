import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guidelines import BadInput
from synth.chat.connect import connect
from synth.config.schema import (
    EndpointConfig,
    Limits,
    ModelConfig,
    Replicas,
    Resources,
    StorageConfig,
)
from synth.errors import RowFault
from synth.pools import lifecycle, replica
from synth.pools.layout import EnginePlan, PoolPlan, chats_of, check_fit, plan_pools
from synth.records import Message, Reply, Sampling

LIMITS = Limits(call_timeout_s=20, start_timeout_s=120, drain_s=5)
ASK = [Message(role="user", content="Hi")]


def scripted(**engine_args: object) -> ModelConfig:
    return ModelConfig(model="any", backend="scripted", engine_args=engine_args)


def gpu(num_gpus: float, memory: float | None = None, replicas: int = 1) -> ModelConfig:
    args = {} if memory is None else {"gpu_memory_utilization": memory}
    return ModelConfig(
        model="org/model",
        revision="a" * 40,
        resources=Resources(num_gpus=num_gpus),
        replicas=Replicas(max=replicas),
        engine_args={**args, "max_model_len": int(1000 * num_gpus) + len(args)},
    )


def served(url: str = "http://host/v1", family: str | None = None, **fields: Any) -> ModelConfig:
    endpoint = EndpointConfig.model_validate({"base_url": url, "model": "big", **fields})
    return ModelConfig(endpoint=endpoint, family=family)


def plan(**models: ModelConfig) -> list[PoolPlan]:
    return plan_pools(models, "run", LIMITS)


# What is decided before anything starts


def test_roles_of_one_model_share_a_pool() -> None:
    pools = plan(teacher=scripted(), judge=scripted(), guard=scripted(latency_s=1))
    assert [pool.roles for pool in pools] == [("teacher", "judge"), ("guard",)]
    assert {role: spec.app for role, spec in chats_of(pools).items()} == {
        "teacher": "gw-run-teacher",
        "judge": "gw-run-teacher",
        "guard": "gw-run-guard",
    }


def test_roles_of_one_server_share_a_pool_and_keep_what_is_their_own() -> None:
    url = "http://host/v1"
    pools = plan(
        teacher=served(url, can=["regex"], family="qwen3"),
        judge=served(f"{url}/", can=["json"], served_as="large"),
        guard=served(url, api_key_env="ANOTHER"),
        target=served("http://elsewhere/v1"),
    )
    assert [pool.roles for pool in pools] == [("teacher", "judge"), ("guard",), ("target",)]
    shared = pools[0].chats
    assert (shared["teacher"].can, shared["teacher"].family) == ({"regex"}, "qwen3")
    assert (shared["judge"].can, shared["judge"].family) == ({"json"}, None)


def test_roles_of_one_script_share_a_pool() -> None:
    pools = plan(
        teacher=ModelConfig(model="scripted"),
        judge=ModelConfig(model="scripted"),
        guard=ModelConfig(model="scripted", engine_args={"script": "a:b"}),
    )
    assert [pool.roles for pool in pools] == [("teacher", "judge"), ("guard",)]


@given(
    st.lists(
        st.builds(
            Replicas,
            min=st.integers(0, 3),
            max=st.integers(3, 9),
            upscale_delay_s=st.integers(1, 9),
            downscale_delay_s=st.integers(1, 9),
        ),
        min_size=1,
        max_size=4,
    ),
    st.permutations(["guard", "judge", "target", "teacher"]),
)
def test_a_pool_has_the_replicas_that_any_of_its_roles_asks_for(
    asked: list[Replicas], names: list[str]
) -> None:
    models = {
        role: scripted(max_num_seqs=8).model_copy(update={"replicas": each})
        for role, each in zip(names, asked, strict=False)
    }
    [pool] = plan(**models)
    assert pool.engine is not None
    found = pool.engine.model.replicas
    assert found == Replicas(
        min=max(each.min for each in asked),
        max=max(each.max for each in asked),
        upscale_delay_s=min(each.upscale_delay_s for each in asked),
        downscale_delay_s=max(each.downscale_delay_s for each in asked),
    )
    assert pool.max_calls == 10 * found.max


@pytest.mark.parametrize(
    ("said", "bound"), [((None, None), 64), ((256, None), 256), ((None, 8), 8), ((256, 8), 8)]
)
def test_a_server_is_asked_by_all_roles_together_within_each_of_their_bounds(
    said: tuple[int | None, int | None], bound: int
) -> None:
    [pool] = plan(teacher=served(max_concurrency=said[0]), judge=served(max_concurrency=said[1]))
    assert pool.max_calls == bound


async def test_endpoints_and_scripts_need_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(lifecycle, "serve")
    pools = plan(teacher=ModelConfig(model="scripted"), judge=served(can=["regex"]))
    assert [pool.engine for pool in pools] == [None, None]
    specs = chats_of(pools)
    assert (specs["judge"].kind, specs["judge"].can) == ("endpoint", {"regex"})
    assert (await connect(specs["teacher"])(ASK, Sampling(choice=("a",)))).text == "a"


def test_two_engines_without_a_gpu_are_refused_by_their_roles(tmp_path: Path) -> None:
    models = {}
    for role in ("teacher", "judge"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "config.json").write_text(role)
        models[role] = ModelConfig(model=str(tmp_path / role))
    with pytest.raises(BadInput, match="teacher and judge"):
        check_fit(plan(**models))


def test_two_replicas_without_a_gpu_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model = ModelConfig(model=str(tmp_path), replicas=Replicas(max=2))
    with pytest.raises(BadInput, match="one replica"):
        check_fit(plan(teacher=model))


@pytest.mark.parametrize(
    "models",
    [
        {"teacher": gpu(0.5, 0.45), "judge": gpu(0.4, 0.5)},
        {"teacher": gpu(1), "judge": gpu(2)},
        {"teacher": gpu(0.6), "judge": gpu(0.7)},  # two shares that never meet on one card
        {"teacher": gpu(0.3, 0.3, replicas=3)},
    ],
)
def test_gpu_shares_that_fit_are_planned(models: dict[str, ModelConfig]) -> None:
    pools = plan(**models)
    check_fit(pools)
    assert len(pools) == len(models)


@pytest.mark.parametrize(
    "models",
    [
        {"teacher": gpu(0.5, 0.5), "judge": gpu(0.4, 0.46)},
        {"teacher": gpu(0.5), "judge": gpu(0.4)},
        {"teacher": gpu(0.3, 0.4, replicas=3)},
    ],
)
def test_gpu_shares_that_crowd_one_card_are_refused(models: dict[str, ModelConfig]) -> None:
    with pytest.raises(BadInput, match="may meet on one GPU"):
        check_fit(plan(**models))


@pytest.mark.parametrize(
    "field",
    [
        {"engine_args": {"max_num_seqs": 8}},
        {"replicas": {"max": 2}},
        {"resources": {"num_gpus": 1}},
        {"revision": "main"},
        {"backend": "scripted"},
    ],
)
def test_what_a_server_would_ignore_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"leave out {next(iter(field))}"):
        ModelConfig.model_validate({"endpoint": {"base_url": "http://h/v1", "model": "m"}, **field})


# A replica and its engine


class Ended(BaseException):
    """Stands for the end of the process."""


class StubEngine:
    """An engine whose life a test holds in its hands."""

    def __init__(self) -> None:
        self.last_progress = time.monotonic()
        self.is_dead = False
        self.killed = False
        self.latency_s = 0.0

    def progress(self) -> float:
        return self.last_progress

    def prefix_cache(self) -> tuple[int, int]:
        return (0, 0)

    def dead(self) -> bool:
        return self.is_dead

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        if self.is_dead:
            raise replica.EngineLost("dead")
        await asyncio.sleep(self.latency_s)
        return Reply(text="done")

    def close(self) -> None:
        pass

    def kill(self) -> None:
        self.killed = True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> StubEngine:
    stub = StubEngine()

    def end(code: int) -> None:
        raise Ended

    async def owner_lives(name: str, app: str) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(replica, "open_engine", lambda *args: stub)
    monkeypatch.setattr(replica, "leave_without_owner", owner_lives)
    monkeypatch.setattr(replica, "_WATCH_PERIOD_S", 0.01)
    monkeypatch.setattr(replica.os, "_exit", end)
    return stub


def hosting(stall_s: float = 60) -> replica.Replica:
    plan = EnginePlan(app="gw-0-teacher", model=scripted(), max_num_seqs=1)
    return replica.Replica(plan, 0, stall_s, "owner", StorageConfig())


async def watch(hosted: replica.Replica) -> None:
    async with asyncio.timeout(0.2):
        await hosted._watch_engine()


async def test_a_call_that_takes_too_long_is_over_its_own_budget(engine: StubEngine) -> None:
    engine.latency_s = 10
    with pytest.raises(RowFault, match=r"within its 0\.05 s"):
        await hosting().generate(ASK, Sampling(), 0.05)


async def test_a_dead_engine_ends_its_replica_with_or_without_a_call(engine: StubEngine) -> None:
    hosted = hosting(stall_s=3600)
    engine.is_dead = True
    with pytest.raises(Ended):
        await hosted.generate(ASK, Sampling(), 1)
    assert engine.killed
    with pytest.raises(Ended):
        await watch(hosted)
    with pytest.raises(RuntimeError, match="dead"):
        hosted.check_health()


async def test_calls_without_progress_end_the_replica(engine: StubEngine) -> None:
    hosted = hosting(stall_s=0.05)
    engine.latency_s = 10
    call = asyncio.create_task(hosted.generate(ASK, Sampling(), 60))
    await asyncio.sleep(0)
    with pytest.raises(Ended):
        await watch(hosted)
    assert engine.killed
    call.cancel()


async def test_an_idle_engine_is_not_stalled(engine: StubEngine) -> None:
    hosted = hosting(stall_s=0.02)
    engine.last_progress -= 1000
    with pytest.raises(TimeoutError):
        await watch(hosted)
    assert not engine.killed
