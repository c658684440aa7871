"""Abilities are tried before the first row; a server that ignores one is bad input."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from synth.chat import ChatSpec
from synth.checks.deep import check_deep
from synth.checks.endpoints import prove_endpoints
from synth.config.schema import EndpointConfig, Limits, ModelConfig
from synth.errors import BadInput, PoolDown
from synth.records import ABILITIES, Ability
from synth.run import Run
from synth.synthesize import Options, synthesize
from synth.workspace.workspace import finished
from tests.synth.fault_server import Fault, FaultServer, always, at_first, running
from tests.synth.test_status import make_run


def spec(server: FaultServer, can: frozenset[Ability] = ABILITIES) -> ChatSpec:
    endpoint = EndpointConfig(base_url=server.url, model="big", can=can, api_key_env="SOME_KEY")
    return ChatSpec(kind="endpoint", model_id="big", endpoint=endpoint, can=can)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "hush-hush")


async def test_a_server_that_can_all_it_is_said_to() -> None:
    async with running(FaultServer()) as server:
        await prove_endpoints({"judge": spec(server)}, 5)
    assert len(server.requests) == 1 + len(ABILITIES)


@pytest.mark.parametrize("ability", sorted(ABILITIES))
async def test_a_server_that_ignores_an_ability(ability: Ability) -> None:
    async with running(FaultServer(can=ABILITIES - {ability})) as server:
        with pytest.raises(BadInput, match="can not do this") as caught:
            await prove_endpoints({"judge": spec(server)}, 5)
        assert (caught.value.field, caught.value.value) == ("judge.endpoint.can", ability)
        await prove_endpoints({"judge": spec(server, ABILITIES - {ability})}, 5)


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
            await prove_endpoints({"judge": spec(server)}, 5)
    assert caught.value.field == field
    assert "hush-hush" not in str(caught.value)
    assert len(server.requests) == 1


async def test_a_passing_fault_is_waited_out() -> None:
    async with running(FaultServer(at_first(Fault.BROKEN, times=2))) as server:
        await prove_endpoints({"judge": spec(server)}, 5)


async def test_a_server_that_never_answers_is_down_not_wrong() -> None:
    async with running(FaultServer(always(Fault.BROKEN))) as server:
        with pytest.raises(PoolDown):
            await prove_endpoints({"judge": spec(server)}, 0.2)


async def test_a_server_without_counts_is_said(caplog: pytest.LogCaptureFixture) -> None:
    server = FaultServer()
    server.counts_tokens = False
    async with running(server):
        await prove_endpoints({"judge": spec(server, frozenset())}, 5)
    assert "judge: the server counts no tokens" in caplog.text


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
            await synthesize(with_endpoint(tmp_path, server), None, Options())
    assert finished(str(tmp_path)) == []


async def test_a_finished_run_asks_nobody(tmp_path: Path) -> None:
    server = FaultServer()
    server.key = "hush-hush"
    async with running(server):
        await synthesize(with_endpoint(tmp_path, server), None, Options())
        asked = len(server.requests)
        assert await synthesize(with_endpoint(tmp_path, server), None, Options()) == {"ok": 20}
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


def test_a_run_without_pools_and_workers_never_loads_ray() -> None:
    code = (
        "import asyncio, sys\n"
        "from synth.config.schema import EndpointConfig, Limits, ModelConfig, SynthConfig\n"
        "from synth.synthesize import open_chats\n"
        "async def main():\n"
        "    model = ModelConfig(model='scripted')\n"
        "    config = SynthConfig(run='nowhere', teacher=model, limits=Limits(workers=0))\n"
        "    async with open_chats(config, {'teacher': model}) as chats:\n"
        "        print(*chats, 'ray' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["teacher", "False"]
