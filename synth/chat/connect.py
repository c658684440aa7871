"""From a picklable description of a chat to the chat itself, inside a worker."""

from synth.chat import Chat, ChatSpec


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
