"""What a row is charged with, and what it is not."""

import asyncio
from collections.abc import Sequence

import pytest

from synth.calls import metering
from synth.calls.gate import Gate
from synth.calls.metering import MeteredChat, PoolHealth, Suspect
from synth.chat.scripted import ScriptedChat
from synth.errors import EngineDied
from synth.records import Message, Sampling
from tests.synth.factories import metered

ASKED = [Message(role="user", content="How do I bake bread?")]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls go again at once."""
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.001)


def chat_of_deaths(deaths: int, together: int) -> MeteredChat:
    """Return a chat whose engine dies so often, each time with so many calls in flight."""
    waiting: list[asyncio.Event] = []
    died = 0

    async def script(messages: Sequence[Message], sampling: Sampling) -> str:
        nonlocal died
        if died == deaths:
            return "well"
        dies = asyncio.Event()
        waiting.append(dies)
        if len(waiting) == together:
            died += 1
            for each in waiting:
                each.set()
            waiting.clear()
        await dies.wait()
        raise EngineDied("the replica died")

    return metered(ScriptedChat(script), "teacher", Gate(8), PoolHealth(60))


async def test_a_rows_calls_see_one_death_together() -> None:
    chat = chat_of_deaths(deaths=1, together=4)
    replies = await asyncio.gather(*(chat(ASKED, Sampling()) for _ in range(4)))
    assert [reply.text for reply in replies] == ["well"] * 4
    assert chat.meter.engine_deaths == 1


async def test_a_second_death_makes_it_a_suspect() -> None:
    chat = chat_of_deaths(deaths=2, together=4)
    calls = [asyncio.create_task(chat(ASKED, Sampling())) for _ in range(4)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(each, Suspect) for each in found)
    assert chat.meter.engine_deaths == 2
