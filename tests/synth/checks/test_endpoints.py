"""Abilities are tried before the first row; a server that ignores one is bad input."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synth.batch import Batch, run_batch
from synth.checks.deep import check_deep
from synth.checks.endpoints import check_endpoints
from synth.config.schema import EndpointConfig, Limits, ModelConfig, SynthConfig
from synth.errors import BadInput, PoolDown
from synth.pools.layout import PoolPlan, plan_pools
from synth.records import ABILITIES, Ability, Sampling
from synth.run import Run
from synth.synthesize import RunOptions, synthesize
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items
from tests.synth.fault_server import Fault, FaultServer, always, at_first, running
from tests.synth.test_status import make_run


def pools(
    server: FaultServer, can: frozenset[Ability] = ABILITIES, *roles: str, **fields: Any
) -> list[PoolPlan]:
    endpoint = EndpointConfig(
        base_url=server.url, model="big", can=can, api_key_env="SOME_KEY", **fields
    )
    models = {role: ModelConfig(endpoint=endpoint) for role in roles or ("judge",)}
    return plan_pools(models, "run", Limits())


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "hush-hush")


async def test_a_server_that_can_all_it_is_said_to() -> None:
    async with running(FaultServer()) as server:
        await check_endpoints(pools(server), 5)
    assert len(server.requests) == 1 + len(ABILITIES)


@pytest.mark.parametrize("ability", sorted(ABILITIES))
async def test_a_server_that_ignores_an_ability(ability: Ability) -> None:
    async with running(FaultServer(can=ABILITIES - {ability})) as server:
        with pytest.raises(BadInput, match="can not do this") as caught:
            await check_endpoints(pools(server), 5)
        assert (caught.value.field, caught.value.value) == ("judge.endpoint.can", ability)
        await check_endpoints(pools(server, ABILITIES - {ability}), 5)


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        (Fault.WRONG_KEY, "judge.endpoint.api_key_env"),
        (Fault.FORBIDDEN, "judge.endpoint.api_key_env"),
        (Fault.UNPAID, "judge.endpoint.api_key_env"),
        (Fault.NO_SUCH_MODEL, "judge.endpoint.model"),
        (Fault.WRONG_MODEL, "judge.endpoint.model"),
        (Fault.REJECTED, "judge.endpoint"),
    ],
)
async def test_a_configuration_that_the_server_refuses(fault: Fault, field: str) -> None:
    async with running(FaultServer(always(fault))) as server:
        with pytest.raises(BadInput) as caught:
            await check_endpoints(pools(server), 5)
    assert caught.value.field == field
    assert "hush-hush" not in str(caught.value)
    assert len(server.requests) == 1


async def test_a_passing_fault_is_waited_out() -> None:
    async with running(FaultServer(at_first(Fault.BROKEN, times=2))) as server:
        await check_endpoints(pools(server), 5)


async def test_a_server_that_never_answers_is_down_not_wrong() -> None:
    async with running(FaultServer(always(Fault.BROKEN))) as server:
        with pytest.raises(PoolDown):
            await check_endpoints(pools(server), 0.2)


async def test_a_server_without_counts_is_said(caplog: pytest.LogCaptureFixture) -> None:
    server = FaultServer()
    server.counts_tokens = False
    async with running(server):
        await check_endpoints(pools(server, frozenset()), 5)
    assert "judge: the server counts no tokens" in caplog.text


async def test_a_server_shows_what_it_can_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, both = frozenset[Ability](["regex"]), frozenset[Ability](["regex", "json"])
    async with running(FaultServer()) as server:

        async def asks(*roles: str, can: frozenset[Ability] = one, **fields: Any) -> int:
            before = len(server.requests)
            await check_endpoints(pools(server, can, *roles, **fields), 5)
            return len(server.requests) - before

        assert await asks("teacher", "judge") == 2
        assert await asks("teacher") == 0
        assert await asks("teacher", can=both) == 1, "only what is new to it"
        assert await asks("teacher", served_as="org/big") == 2, "changed, it is asked again"
        monkeypatch.setenv("SOME_KEY", "another")
        assert await asks("teacher") == 2, "and so it is with another key"


async def test_what_a_server_did_not_show_is_asked_again() -> None:
    async with running(FaultServer(can=frozenset())) as server:
        for _ in range(2):
            with pytest.raises(BadInput, match="can not do this"):
                await check_endpoints(pools(server, frozenset(["regex"])), 5)
    assert len(server.requests) == 3


async def test_the_next_batch_asks_nothing_but_its_items(tmp_path: Path) -> None:
    async with running(FaultServer()) as server:
        endpoint = EndpointConfig(base_url=server.url, model="big", can=frozenset(["regex"]))
        model = ModelConfig(endpoint=endpoint)
        config = SynthConfig(run=str(tmp_path), teacher=model, limits=Limits(workers=0))
        for name in ("answers", "verdicts"):
            batch = Batch(
                stage=name,
                workspace=str(tmp_path / name),
                parts=[make_items(3)],
                recipe="tests.synth.scripts.echo",
                models={"teacher": model},
                sampling=Sampling(),
                fingerprint="f",
            )
            await asyncio.to_thread(run_batch, config, RunOptions(), batch)
    assert len(server.requests) == 2 + 3 + 3


def holding(text: bytes, folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text in path.read_bytes()]


def with_endpoint(folder: Path, server: FaultServer) -> Run:
    run = make_run(folder)
    endpoint = EndpointConfig(base_url=server.url, model="big", api_key_env="SOME_KEY")
    changes = {"teacher": ModelConfig(endpoint=endpoint), "limits": Limits(workers=0)}
    return replace(run, config=run.config.model_copy(update=changes))


async def test_a_run_ends_before_its_first_row(tmp_path: Path) -> None:
    server = FaultServer()
    server.key = "another"
    async with running(server):
        with pytest.raises(BadInput, match="refuses it"):
            await synthesize(with_endpoint(tmp_path, server), None, RunOptions())
    assert Workspace(str(tmp_path)).finished() == []


async def test_a_finished_run_asks_nobody(tmp_path: Path) -> None:
    server = FaultServer()
    server.key = "hush-hush"
    async with running(server):
        await synthesize(with_endpoint(tmp_path, server), None, RunOptions())
        asked = len(server.requests)
        assert await synthesize(with_endpoint(tmp_path, server), None, RunOptions()) == {"ok": 20}
    assert len(server.requests) == asked == 21
    assert not holding(b"hush-hush", tmp_path)
    assert holding(b"SOME_KEY", tmp_path)


def test_the_deep_check_tells_what_was_tried(tmp_path: Path) -> None:
    """In a thread of its own, as `check --deep` does; here against no server at all."""
    endpoint = EndpointConfig(base_url="http://127.0.0.1:9/v1", model="big")
    changes = {"teacher": ModelConfig(endpoint=endpoint), "recipe": ()}
    config = make_run(tmp_path / "run").config.model_copy(update=changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synth.checks.deep.ENDPOINT_S", 0.3)
        with pytest.raises(BadInput, match="must answer") as caught:
            list(check_deep(config))
    assert caught.value.field == "teacher.endpoint"


def test_a_run_without_pools_and_workers_never_loads_ray(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from synth.config.schema import EndpointConfig, Limits, ModelConfig, SynthConfig\n"
        "from synth.pools.layout import plan_pools\n"
        "from synth.synthesize import open_pools\n"
        "async def main():\n"
        "    model = ModelConfig(model='scripted')\n"
        "    config = SynthConfig(run=sys.argv[1], teacher=model, limits=Limits(workers=0))\n"
        "    pools = plan_pools({'teacher': model}, 'run', config.limits)\n"
        "    async with open_pools(config, pools):\n"
        "        print('open', 'ray' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["open", "False"]
