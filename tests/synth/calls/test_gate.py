"""Admission and patience against a simulated server, on simulated time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.calls.gate import Gate
from synth.calls.metering import Meter, MeteredChat, PoolHealth, RoleCalls
from synth.errors import CapacityFault, PoolDown, PoolFault, RowFault
from synth.records import Ability, Message, Reply, Sampling
from tests.synth import factories
from tests.synth.clock import simulate

ASK = [Message(role="user", content="Hi")]


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Server:
    """Answers up to `room` calls at once, and refuses the others with a 429.

    Attributes:
        room: Calls it takes at once.
        latency_s: What an answer takes; a refusal comes at once.
        retry_after_s: The pause it names.
        broken: Share of the calls that it fails for no reason.
    """

    room: int
    latency_s: float = 1.0
    retry_after_s: float | None = None
    broken: float = 0.0
    can: frozenset[Ability] = frozenset()
    inside: int = 0
    answered: int = 0
    begun: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(1))

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        self.begun.append(now())
        await asyncio.sleep(0.01)
        if self.inside >= self.room:
            self.refused.append(now())
            raise CapacityFault("429", self.retry_after_s)
        if self.random.random() < self.broken:
            raise PoolFault("500")
        self.inside += 1
        try:
            await asyncio.sleep(self.latency_s * self.random.uniform(0.5, 1.5))
        finally:
            self.inside -= 1
        self.answered += 1
        return Reply(text="Hello.")


def metered(server: Server, gate: Gate, health: PoolHealth) -> MeteredChat:
    return factories.metered(server, "teacher", gate, health)


async def ask_all(
    server: Server, calls: int, most: int, deadline_s: float = 600
) -> tuple[Gate, float]:
    """Return the gate, and the seconds that all calls took."""
    gate, health = Gate(most), PoolHealth(deadline_s)
    tasks = (metered(server, gate, health)(ASK, Sampling()) for _ in range(calls))
    await asyncio.gather(*tasks)
    return gate, now()


@settings(max_examples=30)
@given(
    room=st.integers(1, 40),
    most=st.integers(1, 60),
    calls=st.integers(1, 150),
    broken=st.sampled_from([0.0, 0.3]),
    retry_after_s=st.sampled_from([None, 0.0, 0.2, 3.0]),
)
def test_every_call_is_answered_whatever_the_room(
    room: int, most: int, calls: int, broken: float, retry_after_s: float | None
) -> None:
    server = Server(room, retry_after_s=retry_after_s, broken=broken)
    gate, _ = simulate(ask_all(server, calls, most))
    assert server.answered == calls
    assert (gate.open_calls, gate.queued) == (0, 0)
    assert 1 <= gate.limit <= most


def test_a_full_server_is_kept_busy() -> None:
    server = Server(room=50, latency_s=4)
    _, seconds = simulate(ask_all(server, 4_000, most=256))
    assert 4_000 * 4 / 50 / seconds > 0.75, "the share of its room that was used"
    assert len(server.refused) < 0.15 * 4_000


def test_nothing_is_sent_while_the_server_asks_for_rest() -> None:
    server = Server(room=3, retry_after_s=7.0)
    simulate(ask_all(server, 40, most=20))
    assert server.refused
    for refused_at in server.refused:
        assert not [t for t in server.begun if refused_at < t < refused_at + 7.0]


def test_faults_that_are_not_for_want_of_room_leave_the_limit_alone() -> None:
    server = Server(room=100, broken=0.5)
    gate, _ = simulate(ask_all(server, 200, most=16))
    assert gate.limit == 16


def test_room_that_comes_back_is_found_again() -> None:
    async def story() -> tuple[int, int]:
        server, gate, health = Server(room=8), Gate(128), PoolHealth(600)

        async def many(calls: int) -> None:
            chats = (metered(server, gate, health) for _ in range(calls))
            await asyncio.gather(*(chat(ASK, Sampling()) for chat in chats))

        await many(300)
        small = gate.limit
        server.room = 1_000
        await many(5_000)
        return small, gate.limit

    small, large = simulate(story())
    assert small < 16
    assert large == 128


@pytest.mark.parametrize("retry_after_s", [None, 1.0, 1e6])
def test_a_server_that_stays_full_ends_the_run_at_the_deadline(
    retry_after_s: float | None,
) -> None:
    async def story() -> float:
        with pytest.raises(PoolDown, match="teacher pool has answered nothing for 100 s"):
            await ask_all(Server(room=0, retry_after_s=retry_after_s), 30, 8, deadline_s=100)
        return now()

    assert 100 <= simulate(story()) < 200


def test_a_pool_that_nobody_called_was_not_silent() -> None:
    async def story() -> None:
        server, gate, health = Server(room=1), Gate(1), PoolHealth(100)
        chat = metered(server, gate, health)
        await chat(ASK, Sampling())
        await asyncio.sleep(1_000)
        server.broken = 0.9
        await chat(ASK, Sampling())

    simulate(story())


def test_a_call_that_alone_is_never_answered_is_its_rows_fault() -> None:
    class Picky(Server):
        async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
            if messages[0]["content"] == "bad":
                await asyncio.sleep(0.1)
                raise PoolFault("500: this input breaks the server")
            return await super().__call__(messages, sampling)

    async def story() -> float:
        server, gate, health = Picky(room=9), Gate(4), PoolHealth(60)

        async def others() -> None:
            while True:
                await metered(server, gate, health)(ASK, Sampling())

        busy = asyncio.create_task(others())
        bad = [Message(role="user", content="bad")]
        with pytest.raises(RowFault, match="answered others: 500: this input breaks"):
            await metered(server, gate, health)(bad, Sampling())
        busy.cancel()
        return now()

    assert 60 <= simulate(story()) < 70


def test_rows_nearest_their_end_go_first() -> None:
    async def story() -> list[int]:
        gate, order = Gate(1), []

        async def call(calls_done: int) -> None:
            async with gate.slot(gate.ticket(calls_done)):
                order.append(calls_done)
                await asyncio.sleep(1)

        await asyncio.gather(*(call(done) for done in (0, 0, 2, 1)))
        return order

    assert simulate(story()) == [0, 2, 1, 0]


@pytest.mark.parametrize("steps", range(5))  # at one of them a slot is just being handed over
def test_a_row_that_is_cancelled_gives_its_slot_back(steps: int) -> None:
    async def story() -> tuple[int, int]:
        gate = Gate(1)

        async def call() -> None:
            async with gate.slot(gate.ticket(0)):
                await asyncio.sleep(1)

        tasks = [asyncio.create_task(call()) for _ in range(5)]
        await asyncio.sleep(1)
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks[:4]:
            task.cancel()
        await tasks[4]
        return gate.open_calls, gate.queued

    assert simulate(story()) == (0, 0)


def test_a_refused_call_goes_before_those_not_yet_tried() -> None:
    class Forgetful(Server):
        async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
            name = messages[0]["content"]
            if name not in seen:
                seen.append(name)
                raise CapacityFault("429")
            ended.append(name)
            return Reply(text="Hello.")

    seen: list[str] = []
    ended: list[str] = []

    async def story() -> None:
        server, gate, health = Forgetful(room=1), Gate(1), PoolHealth(600)
        chats = {name: metered(server, gate, health) for name in "abc"}
        asks = {name: [Message(role="user", content=name)] for name in chats}
        await asyncio.gather(*(chat(asks[name], Sampling()) for name, chat in chats.items()))

    simulate(story())
    assert ended == seen == ["a", "b", "c"]


def test_calls_are_counted_by_role_and_limited_by_pool() -> None:
    async def story() -> tuple[list[tuple[int, int]], int]:
        gate, health, server = Gate(3), PoolHealth(600), Server(room=9)
        roles = [RoleCalls(role, server, gate, health) for role in ("teacher", "judge")]
        calls = [
            asyncio.create_task(MeteredChat(role, Meter())(ASK, Sampling()))
            for role in roles
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        halfway = [(role.running, role.queued) for role in roles]
        await asyncio.gather(*calls)
        assert [(role.running, role.queued) for role in roles] == [(0, 0), (0, 0)]
        return halfway, server.answered

    assert simulate(story()) == ([(2, 0), (1, 1)], 4)
