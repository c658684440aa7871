"""What stands between a step and a chat: patience with pools, and the account of every try.

A pool's fault is waited out and costs the row nothing, until the pool counts as down. A row that
sees engines die is a suspect, and is blamed only for those that die while it runs alone.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from synth.calls.gate import Gate, Ticket
from synth.calls.usage import Usage
from synth.chat import Chat
from synth.errors import (
    CapacityFault,
    EngineDied,
    GuideweaveError,
    Overdue,
    Poison,
    PoolDown,
    PoolFault,
    Refused,
    RowFault,
)
from synth.records import Ability, Message, Reply, Sampling

SUSPECT_DEATHS = 2  # engine deaths in flight that make a row a suspect
OWN_FAULTS = 3  # of one call, and as long as `pool_deadline_s`, while others are answered
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
ANSWERS_S = 10.0  # ours: what a pool may take for one token, to show that it is there at all
_ONE_TOKEN = Sampling(temperature=0.0, max_tokens=1)


def loop_time() -> float:
    """Return the time on the running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


class Suspect(GuideweaveError):
    """The row was in flight at two engine deaths: it waits, to run alone."""


@dataclass(slots=True)
class Meter:
    """The account of one try of an item.

    Attributes:
        step: The step of its recipe.
        alone: It runs alone: the engines that die are its own doing.
        started_at: When it began, on the process's monotonic clock.
        calls: Answered calls.
        output_tokens: Tokens made for it.
        engine_deaths: Engines that died while a call of it was in flight.
        last_death_at: When the last of them did, on the loop's clock.
        last_raw: The last text that a model wrote.
        waiting_for: What it waits for, in words.
        usage: What its calls took, by role.
    """

    step: int = 0
    alone: bool = False
    started_at: float = field(default_factory=time.monotonic)
    calls: int = 0
    output_tokens: int = 0
    engine_deaths: int = 0
    last_death_at: float = -math.inf
    last_raw: str = ""
    waiting_for: str = "its first call"
    usage: dict[str, Usage] = field(default_factory=dict)

    def book(self, role: str, reply: Reply) -> None:
        """Add an answered call."""
        self.calls += 1
        self.output_tokens += reply.output_tokens
        if reply.score is None:
            self.last_raw = reply.text
        self.usage.setdefault(role, Usage()).add(reply)

    def engine_died(self, fault: EngineDied, began_at: float) -> None:
        """Count an engine's death while a call of this row was in flight.

        A row of several calls at once sees one death in each of them; it counts once.

        Args:
            fault: The death.
            began_at: When the call began, on the loop's clock.

        Raises:
            Poison: The row ran alone, so the deaths are its own.
            Suspect: The row has to run alone before it can be judged.
        """
        if began_at <= self.last_death_at:
            return
        self.last_death_at = loop_time()
        self.engine_deaths += 1
        if self.engine_deaths < SUSPECT_DEATHS:
            return
        if self.alone:
            raise Poison(f"killed an engine {SUSPECT_DEATHS} times while alone: {fault}")
        raise Suspect(str(fault))


@dataclass(slots=True)
class PoolHealth:
    """How a pool does, as one worker sees it: whichever of its roles called.

    Attributes:
        deadline_s: Without an answer for so long, while a call waits, the pool is down.
        answered_at: Time of the last answer, on the loop's clock.
        last_fault: What a call has met last.
    """

    deadline_s: float
    answered_at: float = -math.inf
    last_fault: str = ""
    # The start of an unanswered call; None while all is well.
    _silent_since: float | None = field(default=None, init=False)

    def answered(self) -> None:
        """Note an answer."""
        self.answered_at = loop_time()
        self._silent_since = None

    def failed(self, role: str, fault: PoolFault, began_at: float) -> None:
        """Note a fault of a call that began at `began_at`.

        Raises:
            PoolDown: Nothing was answered within the deadline.
        """
        self.last_fault = f"{type(fault).__name__}: {fault}"
        if self._silent_since is None:
            # A pool that nobody called for a while was not silent.
            self._silent_since = max(self.answered_at, began_at)
        self.check(role)

    def check(self, role: str) -> None:
        """Look at the time.

        Raises:
            PoolDown: Nothing was answered within the deadline.
        """
        if self.patience_left_s <= 0:
            raise PoolDown(
                f"the {role} pool has answered nothing for {self.deadline_s:.0f} s; "
                f"its last fault: {self.last_fault}"
            )

    @property
    def patience_left_s(self) -> float:
        """Seconds until the pool counts as down, if it does not answer."""
        since = loop_time() if self._silent_since is None else self._silent_since
        return since + self.deadline_s - loop_time()


@dataclass(slots=True)
class RoleCalls:
    """One role's way to its pool in this worker, and its calls there.

    Attributes:
        role: The role.
        chat: Whom it calls.
        gate: Who may call now; the roles of a pool share it.
        health: How the pool does; they share that, too.
        unanswered: Calls that have no answer yet, sent or not.
        running: Those of them that hold a slot.
        prompt_tokens: Tokens of all its answers that were read.
        output_tokens: Tokens of them that were made.
    """

    role: str
    chat: Chat
    gate: Gate
    health: PoolHealth
    unanswered: int = 0
    running: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    @property
    def queued(self) -> int:
        """Calls that wait for a slot, or for a pause to end."""
        return self.unanswered - self.running

    @contextlib.contextmanager
    def awaiting(self) -> Iterator[None]:
        """Count a call until it ends, in whatever way."""
        self.unanswered += 1
        try:
            yield
        finally:
            self.unanswered -= 1

    @contextlib.asynccontextmanager
    async def slot(self, ticket: Ticket) -> AsyncIterator[None]:
        """Hold a slot of the pool; see `Gate.slot`."""
        async with self.gate.slot(ticket):
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1

    def answered(self, reply: Reply) -> None:
        """Note an answer."""
        self.health.answered()
        self.prompt_tokens += reply.prompt_tokens
        self.output_tokens += reply.output_tokens


@dataclass(frozen=True, slots=True)
class MeteredChat:
    """One row's view of a role: waits its turn, waits out the pool's faults, keeps account.

    It is a `Chat` and a `Score`; a model answers as one of them only.
    """

    calls: RoleCalls
    meter: Meter

    @property
    def can(self) -> frozenset[Ability]:
        """The chat's abilities."""
        return self.calls.chat.can

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`; see `Chat`.

        Raises:
            PoolDown: The pool has answered nothing for too long.
            Overdue: This call has found only faults for as long, while others were answered.
            Refused: The model scores, and writes nothing.
        """
        reply = await self._ask(messages, sampling)
        if reply.score is not None:
            raise Refused(f"the {self.calls.role} model scores: it writes no text", "head")
        return reply

    async def score(self, messages: Sequence[Message]) -> float:
        """Score `messages`; see `Score`. Raises as above, but where the model writes.

        Raises:
            RowFault: The score is no number that can be compared.
        """
        reply = await self._ask(messages, _ONE_TOKEN)  # none, of a model that scores
        if reply.score is None:
            raise Refused(f"the {self.calls.role} model writes text: it has no score", "head")
        if not math.isfinite(reply.score):
            raise RowFault(f"the {self.calls.role} model's score is {reply.score}")
        return reply.score

    async def _ask(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        calls, meter = self.calls, self.meter
        faults = _Faults(calls.role, calls.health, loop_time())
        ticket = calls.gate.ticket(meter.calls)
        with calls.awaiting():
            while True:
                meter.waiting_for = f"a slot of the {calls.role} pool"
                try:
                    async with calls.slot(ticket):
                        meter.waiting_for = f"the {calls.role} pool"
                        reply = await self._patiently(messages, sampling, faults)
                except CapacityFault as fault:
                    meter.waiting_for = f"the {calls.role} pool, which is full"
                    await self._rest(fault, faults)
                else:
                    meter.book(calls.role, reply)
                    meter.waiting_for = "its next call"
                    return reply

    async def _patiently(
        self, messages: Sequence[Message], sampling: Sampling, faults: "_Faults"
    ) -> Reply:
        """Call until there is an answer or no room. The slot is kept: a sick pool gets no more."""
        while True:
            began_at = loop_time()
            try:
                reply = await self.calls.chat(messages, sampling)
            except CapacityFault:
                raise
            except PoolFault as fault:
                if isinstance(fault, EngineDied):
                    self.meter.engine_died(fault, began_at)
                await self._note(fault, faults)
                await asyncio.sleep(faults.wait_s())
            else:
                self.calls.answered(reply)
                return reply

    async def _note(self, fault: PoolFault, faults: "_Faults") -> None:
        """Count a fault; where it makes the pool look down, ask it for a token before saying so.

        A call that is alone with the pool has nobody to show that the pool still answers.
        """
        try:
            faults.note(fault)
        except PoolDown:
            if not await self._is_there():
                raise
            faults.check_own(fault)

    async def _is_there(self) -> bool:
        """Say whether the pool answers anything."""
        hello = [Message(role="user", content="Hello.")]
        try:
            async with asyncio.timeout(ANSWERS_S):
                reply = await self.calls.chat(hello, _ONE_TOKEN)
        except (GuideweaveError, TimeoutError):
            return False
        self.calls.answered(reply)
        return True

    async def _rest(self, fault: CapacityFault, faults: "_Faults") -> None:
        """Wait until the pool may be called again, without a slot."""
        gate, health = self.calls.gate, self.calls.health
        health.failed(self.calls.role, fault, faults.began_at)
        with gate.resting():
            while (left_s := gate.pause_left_s) > 0:
                await asyncio.sleep(min(left_s, health.patience_left_s))
                health.check(self.calls.role)


@dataclass(slots=True)
class _Faults:
    """The faults one call has met so far."""

    role: str
    health: PoolHealth
    began_at: float
    met: int = 0

    def note(self, fault: PoolFault) -> None:
        """Count a fault that is not for want of room.

        Raises:
            PoolDown: The pool has answered nothing for too long.
            Overdue: It has answered others, but never this call: the fault is the row's.
        """
        self.met += 1
        self.health.failed(self.role, fault, self.began_at)
        self.check_own(fault)

    def check_own(self, fault: PoolFault) -> None:
        """Look at how often and how long this call has failed, in a pool that answers others.

        Raises:
            Overdue: As often and as long as makes the fault its own.
        """
        waited_s = loop_time() - self.began_at
        if self.met >= OWN_FAULTS and waited_s >= self.health.deadline_s:
            raise Overdue(
                f"the {self.role} pool failed this call {self.met} times within "
                f"{waited_s:.0f} s, and answered others: {fault}"
            )

    def wait_s(self) -> float:
        """Return how long to wait before the call goes again."""
        ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self.met - 1, 10))
        return ceiling * random.uniform(0.5, 1.0)


class MeteredModels:
    """The `Models` of one try: chats by role, each behind this row's meter."""

    def __init__(
        self, roles: Mapping[str, RoleCalls], meter: Meter, sampling: Sampling, format_retries: int
    ) -> None:
        self._chats = {role: MeteredChat(calls, meter) for role, calls in roles.items()}
        self.sampling = sampling
        self.format_retries = format_retries

    def __getattr__(self, role: str) -> MeteredChat:
        if role.startswith("_") or role not in self._chats:
            raise AttributeError(f"no model has the role {role!r}; known: {sorted(self._chats)}")
        return self._chats[role]
