"""An engine that answers from a script: for tests of everything around a real one.

Its `engine_args` are `script` (`module:function`), `latency_s` of every call, and `poison`: a
call whose messages hold this text ends the process, as a request that kills its engine does.
"""

import asyncio
import os
import time
from collections.abc import Sequence

from synth.chat.scripted import ScriptedChat, load_script, script_of
from synth.config.schema import ModelConfig
from synth.errors import BadInput
from synth.records import Message, Reply, Sampling

_KNOWN = frozenset(("script", "latency_s", "poison", "max_num_seqs"))


class ScriptedEngine:
    """The scripted chat behind an engine's interface."""

    def __init__(self, model: ModelConfig) -> None:
        engine_args = model.engine_args
        if unknown := sorted(set(engine_args) - _KNOWN):
            rule = f"a scripted engine knows {', '.join(sorted(_KNOWN))}"
            raise BadInput(file="config", field="engine_args", value=unknown, rule=rule)
        self._chat = ScriptedChat(load_script(script_of(model)))
        self._latency_s = float(engine_args.get("latency_s", 0))
        self._poison = engine_args.get("poison")

    def progress(self) -> float:
        """A script never stalls."""
        return time.monotonic()

    def prefix_cache(self) -> tuple[int, int]:
        """A script has no cache."""
        return (0, 0)

    def dead(self) -> bool:
        """A script never dies but with its process."""
        return False

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer after the latency, or end the process."""
        if self._poison is not None and any(self._poison in m["content"] for m in messages):
            os._exit(1)
        await asyncio.sleep(self._latency_s)
        return await self._chat(messages, sampling)

    def close(self) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""
