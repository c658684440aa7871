"""A row that does not move is named: which it is, the step it is at, and for how long."""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from synth.drive import drive
from synth.drive.drive import Drive
from synth.drive.runner import Runner
from synth.recipes.base import Recipe, Step
from synth.records import Message, Sampling, Trace
from synth.workspace.workspace import Workspace
from tests.synth.drive.test_drive import make_work
from tests.synth.factories import make_items
from tests.synth.scripts import echo


async def first(*args: object) -> list[Trace]:
    return [Trace(reasoning="", answer="first")]


LATER = Recipe(name="later", version=1, steps=(Step(first), Step(echo)), guided=False)


async def stuck(messages: Sequence[Message], sampling: Sampling) -> str:
    await asyncio.sleep(3600)
    return "never"


async def test_a_stuck_row_is_named_with_its_step_and_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drive, "POLL_S", 0.01)
    monkeypatch.setattr(drive, "SLOW_ROW_S", 0.05)
    [item] = make_items(1, recipe="tests.synth.drive.test_watchdog.LATER")
    item = replace(item, step=1)
    Workspace(str(tmp_path)).publish([item])
    runner = Runner(make_work(tmp_path))
    monkeypatch.setattr(runner._roles["teacher"].chat, "_script", stuck)
    running = asyncio.create_task(
        Drive([runner], list(Workspace(str(tmp_path)).plan().leases)).run()
    )
    with caplog.at_level(logging.WARNING, "synth.drive.drive"):
        while not caplog.messages:  # noqa: ASYNC110 - a log sets no event
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    told = rf"row {item.item_id} is stuck at step 1: \d+ s old, waits for the teacher pool"
    assert re.fullmatch(told, caplog.messages[0])
