"""Whether endpoints can do what their configuration says: each ability is tried, not believed.

A server that does not know a field of a request mostly ignores it, and answers fluently. So
before the first row each declared ability is asked for something that no model says by itself.
These calls cost money: what a server has shown to this process it is not asked for again.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from synth.calls.gate import Gate
from synth.calls.metering import Meter, MeteredChat, PoolHealth, RoleCalls
from synth.chat import Chat, ChatSpec
from synth.chat.connect import connect
from synth.config.schema import EndpointConfig
from synth.errors import BadInput, Refused, RowFault
from synth.pools.layout import PoolPlan
from synth.records import Ability, Message, Reply, Sampling, digest
from synth.run import Run

log = logging.getLogger(__name__)

_BRIEFLY = Sampling(temperature=0.0, max_tokens=32)
_SCHEMA = {
    "type": "object",
    "properties": {"qzx": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["qzx"],
    "additionalProperties": False,
}

# Servers, and what each has shown to this process: an ability, or (None) plain chat.
_shown: set[tuple[str, Ability | None]] = set()


def _ended(reply: Reply) -> bool:
    """Say whether a constrained reply came to its end: then the chat has checked it."""
    return reply.finish_reason == "stop"


@dataclass(frozen=True, slots=True)
class _Trial:
    """A call that only a server with the ability answers well.

    Attributes:
        ask: The user's turn.
        sampling: What asks for the ability.
        shown: Whether a reply shows it.
        begun: The beginning of the assistant's turn, if it has one.
    """

    ask: str
    sampling: Sampling
    shown: Callable[[Reply], bool] = _ended
    begun: str = ""

    @property
    def messages(self) -> list[Message]:
        """The conversation."""
        turns = [Message(role="user", content=self.ask)]
        return [*turns, Message(role="assistant", content=self.begun)] if self.begun else turns


_TRIALS: Mapping[Ability, _Trial] = {
    "regex": _Trial("Say hello.", replace(_BRIEFLY, regex="qzx-[0-9]{2}")),
    "choice": _Trial("Say hello.", replace(_BRIEFLY, choice=("qzx", "xzq"))),
    "json": _Trial(
        "Say hello.",
        replace(_BRIEFLY, json_schema=json.dumps(_SCHEMA)),
        # A small model may lose itself in the white space that a grammar leaves it.
        lambda reply: "".join(reply.text.split()).startswith('{"qzx"'),
    ),
    "prefix": _Trial(
        "Name three colours.",
        _BRIEFLY,
        lambda reply: _all_text(reply).lstrip().startswith(")"),  # as no new turn begins
        begun="(1) red (2) green (3",
    ),
    "logprobs": _Trial(
        "Say hello.", replace(_BRIEFLY, logprobs=2), lambda reply: bool(reply.logprobs)
    ),
    "keep_stop": _Trial(
        "Tell a story about the sea.",
        replace(_BRIEFLY, stop=("e",), keep_stop=True),
        lambda reply: _all_text(reply).endswith("e"),
    ),
}


async def check_endpoints(pools: Iterable[PoolPlan], deadline_s: float) -> None:
    """Ask every endpoint for a word, and for each ability it is said to have, once a process.

    Args:
        pools: Those to be called; engines and scripts are not asked.
        deadline_s: A server that answers nothing for so long is down.

    Raises:
        BadInput: A key, a model or an address is refused, or an ability is missing.
        PoolDown: A server does not answer.
    """
    for pool in pools:
        for role, spec in pool.chats.items():
            if spec.endpoint is not None:
                await _check(role, spec, spec.endpoint, Gate(pool.max_calls), deadline_s)


async def _check(
    role: str, spec: ChatSpec, endpoint: EndpointConfig, gate: Gate, deadline_s: float
) -> None:
    server = _server(endpoint)
    owed = [ability for ability in sorted(spec.can) if (server, ability) not in _shown]
    if not owed and (server, None) in _shown:
        return
    opened = connect(spec)
    chat = MeteredChat(RoleCalls(role, opened, gate, PoolHealth(deadline_s)), Meter())
    try:
        if (server, None) not in _shown:
            await _check_plain(role, chat, endpoint)
            _shown.add((server, None))
        trials = [_check_ability(role, chat, ability) for ability in owed]
        ends = await asyncio.gather(*trials, return_exceptions=True)
    finally:
        if (aclose := getattr(opened, "aclose", None)) is not None:
            await aclose()
    for fault in ends:
        if fault is not None:
            raise fault
    _shown.update((server, ability) for ability in owed)


def _server(endpoint: EndpointConfig) -> str:
    """Return a digest of what decides how a server answers us, the key itself among it."""
    key = os.environ.get(endpoint.api_key_env) if endpoint.api_key_env else None
    return digest(endpoint.base_url, endpoint.model, endpoint.served_as, endpoint.api_key_env, key)


async def _check_plain(role: str, chat: Chat, endpoint: EndpointConfig) -> None:
    """Ask for one token: only an answer shows that address, key and model are right."""
    ask = [Message(role="user", content="Hello.")]
    try:
        reply = await chat(ask, Sampling(max_tokens=1))
    except Refused as fault:
        field = f"{role}.endpoint.{fault.field}"
        value = getattr(endpoint, fault.field)
        rule = f"the server refuses it: {fault}"
        raise BadInput(file="config", field=field, value=value, rule=rule) from fault
    except RowFault as fault:
        rule = f"must answer: {fault}"
        raise BadInput(
            file="config", field=f"{role}.endpoint", value=endpoint.base_url, rule=rule
        ) from fault
    if not reply.counted:
        log.warning("%s: the server counts no tokens: what its calls take is undetermined", role)


async def _check_ability(role: str, chat: Chat, ability: Ability) -> None:
    trial = _TRIALS[ability]
    try:
        reply = await chat(trial.messages, trial.sampling)
        fault = None if trial.shown(reply) else "it answered as if it had not been asked to"
    except (RowFault, Refused) as error:
        fault = str(error)
    if fault is not None:
        rule = f"names what the server can, and it can not do this: {fault}"
        raise BadInput(file="config", field=f"{role}.endpoint.can", value=ability, rule=rule)


def _all_text(reply: Reply) -> str:
    """Return a reply's text; a family's thought, too, is text that the ability bears on."""
    return reply.reasoning + reply.text


def check_abilities(run: Run, chats: Mapping[str, ChatSpec]) -> None:
    """Check that every role's chat can do what the recipes ask of it.

    Raises:
        BadInput: It can not; the role and the ability are named.
    """
    for recipe in run.recipes.values():
        for role, needs in recipe.needs.items():
            if role in chats and (missing := sorted(needs - chats[role].can)):
                rule = f"recipe {recipe.name} needs the ability {', '.join(missing)}"
                value = chats[role].model_id
                raise BadInput(file="config", field=role, value=value, rule=rule)
