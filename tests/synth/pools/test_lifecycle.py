"""Pools on a real cluster, their engines scripted: opened once for all of these tests."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import ray
from ray import serve

from synth.chat import ChatSpec
from synth.chat.connect import connect
from synth.config.schema import Limits, ModelConfig, Resources
from synth.errors import CapacityFault, EngineDied, Invalid, PoolFault, RunFault, Unparsed
from synth.pools.lifecycle import remove_pools
from synth.records import ABILITIES, Message, Sampling
from tests.synth.opened import engines

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

RUN = "fedcba9876543210fedcba98"
LIMITS = Limits(call_timeout_s=20, start_timeout_s=120, drain_s=5)
ASK = [Message(role="user", content="Hi")]

DRIVER = """
import asyncio, ray
from synth.config.schema import Limits, ModelConfig
from tests.synth.opened import engines

async def main():
    model = ModelConfig(model="any", backend="scripted")
    async with engines({"teacher": model}, "dr1ver", Limits()):
        print("open", flush=True)
        await asyncio.sleep(600)

ray.init(address=%r, log_to_driver=False)
asyncio.run(main())
"""


def scripted(**engine_args: object) -> ModelConfig:
    return ModelConfig(model="any", backend="scripted", engine_args=engine_args)


def misbehave(messages: Sequence[Message], sampling: Sampling) -> str:
    text = messages[-1]["content"]
    faults: dict[str, Exception] = {
        "invalid": Invalid("too long"),
        "unparsed": Unparsed("no verdict", raw="hm", truncated=True),
        "full": CapacityFault("busy", retry_after_s=3),
        "bug": KeyError("oops"),
    }
    if text in faults:
        raise faults[text]
    return f"{os.getpid()}"


def replica_names() -> list[str]:
    named = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in named if actor["name"].startswith("SERVE_REPLICA::gw-")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[str]:
    context: Any = ray.init(
        address="local", num_cpus=16, include_dashboard=False, log_to_driver=False
    )
    yield context.address_info["address"]
    ray.shutdown()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def specs(cluster: str) -> AsyncIterator[dict[str, ChatSpec]]:
    models = {
        "teacher": scripted(script=f"{__name__}:misbehave", poison="poison"),
        "judge": scripted(latency_s=60),
    }
    async with engines(models, RUN, LIMITS) as specs:
        assert len(replica_names()) == 2
        yield specs
    assert replica_names() == []


def start_driver(address: str) -> subprocess.Popen[str]:
    """Start a driver of its own that opens a pool and keeps it."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER % address],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert driver.stdout is not None
    assert any("open" in line for line in driver.stdout)
    driver.stdout.close()
    return driver


async def test_a_pool_answers_from_another_process(specs: dict[str, ChatSpec]) -> None:
    spec = specs["teacher"]
    assert (spec.app, spec.can) == (f"gw-{RUN}-teacher", ABILITIES)
    reply = await connect(spec)(ASK, Sampling())
    assert int(reply.text) != os.getpid()


async def test_a_fault_crosses_the_border_as_itself(specs: dict[str, ChatSpec]) -> None:
    chat = connect(specs["teacher"])
    with pytest.raises(Invalid, match="too long"):
        await chat([Message(role="user", content="invalid")], Sampling())
    with pytest.raises(Unparsed) as unparsed:
        await chat([Message(role="user", content="unparsed")], Sampling())
    assert (unparsed.value.raw, unparsed.value.truncated) == ("hm", True)
    with pytest.raises(CapacityFault) as full:
        await chat([Message(role="user", content="full")], Sampling())
    assert full.value.retry_after_s == 3
    with pytest.raises(PoolFault, match="oops"):
        await chat([Message(role="user", content="bug")], Sampling())


async def test_a_killed_replica_fails_its_calls_and_is_replaced(specs: dict[str, ChatSpec]) -> None:
    chat = connect(specs["teacher"])
    before = (await chat(ASK, Sampling())).text
    with pytest.raises(EngineDied):
        await chat([Message(role="user", content="poison")], Sampling())
    assert (await chat(ASK, Sampling())).text != before


async def test_no_pool_is_the_pools_fault(specs: dict[str, ChatSpec]) -> None:
    nowhere = ChatSpec(kind="engine", model_id="any", app="gw-nowhere-teacher")
    with pytest.raises(PoolFault, match="gw-nowhere-teacher"):
        await connect(nowhere)(ASK, Sampling())


async def test_another_run_is_left_alone_and_closing_does_not_wait_for_calls(
    specs: dict[str, ChatSpec],
) -> None:
    async with engines({"teacher": scripted(latency_s=60)}, "0ther", LIMITS) as other:
        call = asyncio.create_task(connect(other["teacher"])(ASK, Sampling()))
        await asyncio.sleep(1)
        assert len(replica_names()) == 3
    assert len(replica_names()) == 2
    with pytest.raises(PoolFault):
        await call
    assert (await connect(specs["teacher"])(ASK, Sampling())).text


async def test_pools_of_a_command_that_took_the_run_over_are_left_alone(
    specs: dict[str, ChatSpec],
) -> None:
    models = {"teacher": scripted()}
    first = engines(models, "taken", LIMITS, own=lambda: False)
    second = engines(models, "taken", LIMITS)
    await first.__aenter__()
    taken = await second.__aenter__()
    await first.__aexit__(None, None, None)
    try:
        assert (await connect(taken["teacher"])(ASK, Sampling())).text
    finally:
        await second.__aexit__(None, None, None)
    assert "gw-taken-teacher" not in serve.status().applications


async def test_a_pool_that_can_not_start_says_why(specs: dict[str, ChatSpec]) -> None:
    with pytest.raises(RunFault, match="no_such:script"):
        async with engines({"teacher": scripted(script="no_such:script")}, "br0ken", LIMITS):
            pass


async def test_a_pool_that_finds_no_room_says_so(specs: dict[str, ChatSpec]) -> None:
    greedy = scripted().model_copy(update={"resources": Resources(num_cpus=1000)})
    with pytest.raises(RunFault, match="gw-gr33dy-teacher within 3 s"):
        async with engines({"teacher": greedy}, "gr33dy", Limits(start_timeout_s=3, drain_s=1)):
            pass


async def test_pools_go_when_their_driver_is_killed(
    cluster: str, specs: dict[str, ChatSpec]
) -> None:
    driver = start_driver(cluster)
    assert len(replica_names()) == 3
    driver.kill()
    driver.wait()
    async with asyncio.timeout(60):
        while len(replica_names()) > 2:  # noqa: ASYNC110 - another process ends it
            await asyncio.sleep(0.2)
        while "gw-dr1ver-teacher" in serve.status().applications:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.2)


async def test_stopping_by_hand_names_what_it_removed(
    cluster: str, specs: dict[str, ChatSpec]
) -> None:
    driver = start_driver(cluster)
    try:
        assert await remove_pools("dr1ver") == ["gw-dr1ver-teacher"]
        assert await remove_pools("dr1ver") == []
    finally:
        driver.kill()
        driver.wait()
