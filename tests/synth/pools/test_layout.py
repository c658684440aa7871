import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

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
from synth.pools.layout import chat_specs, plan_pools
from synth.pools.lifecycle import pools
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


# What is decided before anything starts


def test_roles_of_one_model_share_a_pool() -> None:
    models = {"teacher": scripted(), "judge": scripted(), "guard": scripted(latency_s=1)}
    plans = plan_pools(models, "run")
    assert [(plan.app, plan.roles) for plan in plans] == [
        ("gw-run-teacher", ("teacher", "judge")),
        ("gw-run-guard", ("guard",)),
    ]
    specs = chat_specs(models, plans, LIMITS)
    assert specs["judge"].app == "gw-run-teacher"
    assert specs["judge"].kind == "engine"


def test_calls_are_limited_by_the_slots_of_all_replicas() -> None:
    model = scripted(max_num_seqs=8).model_copy(update={"replicas": Replicas(max=4)})
    specs = chat_specs({"teacher": model}, plan_pools({"teacher": model}, "run"), LIMITS)
    assert specs["teacher"].max_calls == 40
    assert specs["teacher"].call_timeout_s == 20


async def test_endpoints_and_scripts_need_no_pool_and_no_ray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(lifecycle, "serve")
    endpoint = EndpointConfig(
        base_url="http://host/v1", model="big", can=frozenset(["regex"]), max_concurrency=3
    )
    models = {"teacher": ModelConfig(model="scripted"), "judge": ModelConfig(endpoint=endpoint)}
    async with pools(models, "run", LIMITS) as specs:
        assert specs["teacher"].kind == "scripted"
        assert (specs["judge"].kind, specs["judge"].max_calls) == ("endpoint", 3)
        assert specs["judge"].can == {"regex"}
    assert (await connect(specs["teacher"])(ASK, Sampling(choice=("a",)))).text == "a"


def test_two_engines_without_a_gpu_are_refused_by_their_roles(tmp_path: Path) -> None:
    models = {}
    for role in ("teacher", "judge"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "config.json").write_text(role)
        models[role] = ModelConfig(model=str(tmp_path / role))
    with pytest.raises(BadInput, match="teacher and judge"):
        plan_pools(models, "run")


def test_two_replicas_without_a_gpu_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model = ModelConfig(model=str(tmp_path), replicas=Replicas(max=2))
    with pytest.raises(BadInput, match="one replica"):
        plan_pools({"teacher": model}, "run")


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
    assert len(plan_pools(models, "run")) == len(models)


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
        plan_pools(models, "run")


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
    return replica.Replica(scripted(), 1, 0, stall_s, "owner", "gw-0-teacher", StorageConfig())


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
