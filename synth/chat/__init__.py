"""What a model is to those who call it: `Chat`, messages to a reply; `Score`, messages to a number.

`engine`, `endpoint` and `scripted` beside this file implement the first, and hand the number of a
model that scores on in its reply; recipes and judges see nothing wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from synth.config.schema import EndpointConfig, FamilyConfig
from synth.records import Ability, Message, Reply, Sampling

__all__ = ["Chat", "ChatKind", "ChatSpec", "Score"]

ChatKind = Literal["engine", "endpoint", "scripted"]


class Chat(Protocol):
    """A model that completes conversations."""

    @property
    def can(self) -> frozenset[Ability]:
        """What it can do beyond plain completion."""
        ...

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`.

        Raises:
            PoolFault: The pool is unwell; the same call may go again.
            RowFault: This request can not be answered.
        """
        ...


class Score(Protocol):
    """A model that makes a number of a conversation, such as a process reward model."""

    async def score(self, messages: Sequence[Message]) -> float:
        """Score `messages`: the raw output of the model's head, of no fixed range.

        A conversation that ends with an `assistant` turn is scored up to that turn's last
        character, as a turn that might still go on.

        Raises:
            PoolFault: The pool is unwell; the same call may go again.
            RowFault: This conversation can not be scored.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSpec:
    """What a worker needs to open one role's chat.

    Attributes:
        kind: Which implementation.
        model_id: The model's name for records, such as `embedded@1f2e3d4c5b6a`.
        app: The Serve application's name (`engine`).
        endpoint: The server (`endpoint`).
        family: How the model marks its reasoning, where its name does not tell (`endpoint`: an
            engine takes its replies apart itself).
        script: Dotted path `module:function` of the replies (`scripted`).
        can: Abilities.
        call_timeout_s: Deadline of one call.
    """

    kind: ChatKind
    model_id: str
    app: str = ""
    endpoint: EndpointConfig | None = None
    family: str | FamilyConfig | None = None
    script: str = ""
    can: frozenset[Ability] = frozenset()
    call_timeout_s: float = 600
