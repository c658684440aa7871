"""A runner against a server that fails: every row ends counted, and none for the server's sake."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synth.calls import gate, metering
from synth.chat import ChatSpec
from synth.config.schema import EndpointConfig
from synth.drive.drive import Drive
from synth.drive.runner import Runner, Work
from synth.errors import PoolDown, Refused
from synth.pools.layout import PoolPlan
from synth.records import Outcome, Sampling
from synth.workspace.workspace import Workspace
from tests.synth.factories import make_items
from tests.synth.fault_server import (
    Fault,
    FaultServer,
    always,
    at_first,
    now_and_then,
    only_for,
    running,
)

PASSING = (
    Fault.FULL,
    Fault.OVERLOADED,
    Fault.BROKEN,
    Fault.DOWN,
    Fault.HANG,
    Fault.HALF_BODY,
    Fault.DROPPED,
    Fault.WRONG_JSON,
    Fault.NOT_HTTP,
    Fault.ABORTED,
)
ROWS = 48


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(gate, "FIRST_PAUSE_S", 0.02)


def plan(workspace: Path, rows: int = ROWS) -> None:
    Workspace(str(workspace)).publish(make_items(rows), rows=16)


async def run(workspace: Path, server: FaultServer, **options: Any) -> None:
    """Work through what is owed, as `limits.workers: 0` does."""
    endpoint = EndpointConfig(base_url=server.url, model="big")
    spec = ChatSpec(
        kind="endpoint",
        model_id="big",
        endpoint=endpoint,
        call_timeout_s=options.pop("call_timeout_s", 0.5),
    )
    work = Work(
        workspace=str(workspace),
        pools=[PoolPlan(chats={"teacher": spec}, max_calls=8)],
        sampling=Sampling(),
        fingerprint="f",
        **options,
    )
    runner = Runner(work)
    try:
        await Drive([runner], Workspace(str(workspace)).owed(), drain_s=5).run()
    finally:
        await runner.close()


def outcomes(workspace: Path) -> Counter[str]:
    return Counter(Workspace(str(workspace)).traces()["outcome"].to_pylist())


def assert_complete(workspace: Path, server: FaultServer) -> None:
    """Check that every row is there, at its first try, with the one completion made for it."""
    table = Workspace(str(workspace)).traces()
    assert Counter(table["outcome"].to_pylist()) == {"ok": len(table)}
    assert set(table["try"].to_pylist()) == {0}
    assert set(table["calls"].to_pylist()) == {1}
    told = dict(zip(table["prompt"].to_pylist(), table["answer"].to_pylist(), strict=True))
    assert all(answer == f"You asked: {prompt}" for prompt, answer in told.items())
    assert server.answered == Counter(told.keys())  # each once


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name.lower())
async def test_a_fault_that_passes_costs_no_row(tmp_path: Path, fault: Fault) -> None:
    plan(tmp_path, 24)
    async with running(FaultServer(at_first(fault))) as server:
        await run(tmp_path, server)
    table = Workspace(str(tmp_path)).traces()
    assert Counter(table["outcome"].to_pylist()) == {"ok": 24}
    assert set(table["try"].to_pylist()) == {0}
    assert len(server.requests) == 48


async def test_a_mixture_of_all_faults_on_a_small_server(tmp_path: Path) -> None:
    plan(tmp_path)
    faults = FaultServer(now_and_then(0.3, *PASSING))
    faults.room, faults.latency_s = 3, 0.002
    async with running(faults) as server:
        await run(tmp_path, server, call_timeout_s=0.3)
        assert_complete(tmp_path, server)


@pytest.mark.parametrize("fault", [Fault.FULL_FOR_A_SECOND, Fault.FULL_UNTIL_A_DATE])
async def test_a_pause_that_the_server_names_holds_for_all(tmp_path: Path, fault: Fault) -> None:
    plan(tmp_path, 32)
    async with running(FaultServer(only_once(fault))) as server:
        await run(tmp_path, server)
        assert_complete(tmp_path, server)


def only_once(fault: Fault) -> Any:
    """Fail one request, whichever comes first."""
    left = [fault]
    return lambda prompt, number: left.pop() if left else None


async def test_rows_that_the_server_rejects(tmp_path: Path) -> None:
    plan(tmp_path)
    wrong = {"number 7?": Fault.TOO_LONG, "number 9?": Fault.REJECTED, "number 11?": Fault.FLAGGED}

    def mishaps(prompt: str, number: int) -> Fault | None:
        return next((fault for text, fault in wrong.items() if text in prompt), None)

    async with running(FaultServer(mishaps)) as server:
        await run(tmp_path, server)
    assert outcomes(tmp_path) == {"ok": ROWS - 3, "invalid": 1, "failed": 2}
    assert len(server.requests) == ROWS, "none was sent twice"
    errors = [error for error in Workspace(str(tmp_path)).traces()["error"].to_pylist() if error]
    assert any("maximum context length" in error for error in errors)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.WRONG_KEY,
        Fault.FORBIDDEN,
        Fault.NO_SUCH_MODEL,
        Fault.WRONG_MODEL,
        Fault.UNPAID,
    ],
    ids=lambda fault: fault.name.lower(),
)
async def test_a_server_that_refuses_us_ends_the_run_which_resumes(
    tmp_path: Path, fault: Fault
) -> None:
    plan(tmp_path)
    async with running(FaultServer(only_for("number 20?", fault))) as server:
        with pytest.raises(Refused):
            await run(tmp_path, server)
        states = outcomes(tmp_path)
        assert states["ok"] > 0
        assert set(states) <= {"ok", "interrupted"}
        server.mishaps = lambda prompt, number: None
        workspace = Workspace(str(tmp_path))
        workspace.publish(workspace.again([Outcome.INTERRUPTED]), rows=16)
        await run(tmp_path, server)
    assert outcomes(tmp_path) == {"ok": ROWS}


@pytest.mark.parametrize(
    "fault",
    [
        Fault.FULL,
        Fault.FULL_FOR_A_SECOND,
        Fault.BROKEN,
        Fault.HANG,
        Fault.DROPPED,
        Fault.WRONG_JSON,
    ],
    ids=lambda fault: fault.name.lower(),
)
async def test_a_server_that_answers_nothing_ends_the_run(tmp_path: Path, fault: Fault) -> None:
    plan(tmp_path)
    async with running(FaultServer(always(fault))) as server:
        with pytest.raises(PoolDown, match="teacher pool has answered nothing"):
            await run(tmp_path, server, call_timeout_s=0.1, pool_deadline_s=0.4)
        assert set(outcomes(tmp_path)) <= {"interrupted"}, "no row's try was used up"
        assert len(server.requests) < 8 * 0.6 / 0.0025, "it was not flooded"


async def test_a_row_that_the_server_can_not_take_does_not_keep_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "LONGEST_WAIT_S", 0.05)
    plan(tmp_path, 200)
    faults = FaultServer(only_for("number 3?", Fault.BROKEN))
    faults.latency_s = 0.03  # the others keep the server busy for longer than the deadline
    async with running(faults) as server:
        await run(tmp_path, server, pool_deadline_s=0.3)
    assert outcomes(tmp_path) == {"ok": 199, "failed": 1}


async def test_the_footers_say_what_was_taken(tmp_path: Path) -> None:
    plan(tmp_path)
    async with running(FaultServer()) as server:
        await run(tmp_path, server)
    found = [counts.usage for counts in Workspace(str(tmp_path)).counts()]
    one = {"calls": 16, "uncounted": 0, "prompt_tokens": 112, "output_tokens": 48}
    assert found == [{"teacher": one}] * 3


async def test_tokens_that_no_server_counted_are_null(tmp_path: Path) -> None:
    plan(tmp_path, 16)
    server = FaultServer()
    server.counts_tokens = False
    async with running(server):
        await run(tmp_path, server)
    table = Workspace(str(tmp_path)).traces()
    assert set(table["prompt_tokens"].to_pylist()) == {None}
    assert set(table["output_tokens"].to_pylist()) == {None}
    [counts] = Workspace(str(tmp_path)).counts()
    assert counts.usage["teacher"]["uncounted"] == 16
