"""From a picklable description of a chat to the chat itself, inside a worker."""

from dataclasses import dataclass
from typing import Literal

from synth.chat import Ability, Chat
from synth.config import EndpointConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSpec:
    """What a worker needs to open one role's chat.

    Attributes:
        kind: Which implementation.
        model_id: The model's name for records, such as `embedded@1f2e3d4c5b6a`.
        app: The Serve application's name (`engine`).
        endpoint: The server (`endpoint`).
        script: Dotted path `module:function` of the replies (`scripted`).
        can: Abilities.
        max_calls: Calls in flight, over all workers.
        call_timeout_s: Deadline of one call.
    """

    kind: Literal["engine", "endpoint", "scripted"]
    model_id: str
    app: str = ""
    endpoint: EndpointConfig | None = None
    script: str = ""
    can: frozenset[Ability] = frozenset()
    max_calls: int = 64
    call_timeout_s: float = 600


def connect(spec: ChatSpec) -> Chat:
    """Open the chat that `spec` describes."""
    # Each door is imported where it is opened: aiohttp and Ray Serve stay out of the others.
    if spec.kind == "engine":
        from synth.chat.engine import EngineChat  # noqa: PLC0415

        return EngineChat(spec)
    if spec.kind == "endpoint":
        from synth.chat.endpoint import EndpointChat  # noqa: PLC0415

        return EndpointChat(spec)
    from synth.chat.scripted import scripted_chat  # noqa: PLC0415

    return scripted_chat(spec)
