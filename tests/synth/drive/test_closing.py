"""A drive that has to stop keeps every finished row, also of the leases that wait for a suspect."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from synth.calls import metering
from synth.calls.metering import SUSPECT_DEATHS
from synth.drive import drive
from synth.drive.drive import Drive, Progress
from synth.drive.runner import Runner
from synth.errors import EngineDied, PoolDown, PoolFault
from synth.records import Outcome, Sampling
from synth.workspace.workspace import Workspace
from tests.synth.drive.test_drive import make_work, outcomes, run_all
from tests.synth.factories import make_items
from tests.synth.scripts import repeat

SUSPECTS = ("number 7?", "number 23?")  # of the first and the second of three leases
SLOW = "number 40?"  # of the third


class Chat:
    """Its engine dies under the suspects; when and whether the whole pool does is up to a test."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.slow = asyncio.Event()  # set once the slow row was asked for
        self.go_on = asyncio.Event()  # lets the slow row end
        self.alone = asyncio.Event()  # set once a suspect runs alone; it never ends
        self.dies_under = ""  # the row with which the pool dies for good
        self.dead = False

    async def next(self, messages: list, sampling: Sampling) -> str:
        text = messages[-1]["content"]
        if text.endswith(SLOW):
            self.slow.set()
            await self.go_on.wait()
        self.calls[text] += 1
        if text.endswith(SUSPECTS) and self.calls[text] <= SUSPECT_DEATHS:
            raise EngineDied("the engine died")
        self.dead = self.dead or (self.dies_under != "" and text.endswith(self.dies_under))
        if self.dead:
            raise PoolFault("connection refused")
        if text.endswith(SUSPECTS):
            self.alone.set()
            await asyncio.sleep(3600)
        return repeat(messages, sampling)

    async def until_held_back(self) -> None:
        """Wait until both suspects have met their deaths, and their leases have noticed."""
        suspects = [f"Question {number}" for number in SUSPECTS]
        while min(self.calls[text] for text in suspects) < SUSPECT_DEATHS:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    chat = Chat()
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(
        "synth.chat.scripted.ScriptedChat._next",
        lambda self, messages, sampling: chat.next(messages, sampling),
    )
    Workspace(str(tmp_path)).publish(make_items(48), rows=16)
    return chat


async def stop(running: asyncio.Task) -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def check_owed(workspace: Path, lost: int) -> None:
    """Check that all rows but `lost` of them are kept, and that these are owed."""
    assert outcomes(workspace) == {"ok": 48 - lost, "interrupted": lost}
    assert len(Workspace(str(workspace)).finished()) == 3
    assert len(list(Workspace(str(workspace)).again([Outcome.INTERRUPTED]))) == lost


async def test_stopping_keeps_the_rows_of_leases_held_back(tmp_path: Path, chat: Chat) -> None:
    running = asyncio.create_task(run_all(make_work(tmp_path), num_workers=1))
    await chat.slow.wait()
    await chat.until_held_back()
    await stop(running)
    check_owed(tmp_path, lost=3)


async def test_stopping_keeps_the_rows_of_the_lease_that_runs_alone(
    tmp_path: Path, chat: Chat
) -> None:
    chat.go_on.set()
    running = asyncio.create_task(run_all(make_work(tmp_path), num_workers=1))
    await chat.alone.wait()
    await stop(running)
    check_owed(tmp_path, lost=2)


async def test_a_pool_that_dies_under_a_suspect_keeps_the_rows_of_all_held_back(
    tmp_path: Path, chat: Chat
) -> None:
    chat.go_on.set()
    chat.dies_under = SUSPECTS[0]
    with pytest.raises(PoolDown):
        await run_all(make_work(tmp_path, pool_deadline_s=0.2), num_workers=1)
    check_owed(tmp_path, lost=2)


async def test_a_pool_that_dies_keeps_the_rows_of_leases_held_back(
    tmp_path: Path, chat: Chat
) -> None:
    chat.dies_under = SLOW
    running = asyncio.create_task(run_all(make_work(tmp_path, pool_deadline_s=0.2), num_workers=1))
    await chat.until_held_back()
    chat.go_on.set()
    with pytest.raises(PoolDown):
        await running
    check_owed(tmp_path, lost=3)


async def test_a_fault_of_who_listens_ends_a_drive_whose_suspects_run_alone(
    tmp_path: Path, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a heartbeat that can not be written."""
    monkeypatch.setattr(drive, "POLL_S", 0.01)
    chat.go_on.set()

    def listen(progress: Progress) -> None:
        if chat.alone.is_set():
            raise OSError("no space left")

    workers = [Runner(make_work(tmp_path))]
    with pytest.raises(OSError, match="no space left"):
        await Drive(workers, Workspace(str(tmp_path)).owed(), on_progress=listen, drain_s=5).run()
    check_owed(tmp_path, lost=2)
