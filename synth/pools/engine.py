"""What a replica hosts: the shape of an engine, and how one says that it is lost."""

from collections.abc import Sequence
from typing import Protocol

from synth.records import Message, Reply, Sampling


class Engine(Protocol):
    """What a replica hosts."""

    def progress(self) -> float:
        """Return when the engine last did anything (`time.monotonic`)."""
        ...

    def prefix_cache(self) -> tuple[int, int]:
        """Return the prompt tokens looked up in the engine's prefix cache, and those found."""
        ...

    def dead(self) -> bool:
        """Say whether the engine can never answer again."""
        ...

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`, or score them; cancelling gives the engine's slot back."""
        ...

    def close(self) -> None:
        """End the engine in good order."""
        ...

    def kill(self) -> None:
        """End the engine's processes at once."""
        ...


class EngineLost(Exception):
    """The engine is dead: raised by an engine, never seen outside its replica."""
