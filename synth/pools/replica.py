"""One replica of a pool: the process that hosts an engine and ends itself when that is dead.

A replica with a dead engine is worse than none: it answers errors at once, so it has the
shortest queue and draws every call. Hence every way an engine can be lost (it died, it makes
no progress, its driver is gone) ends the process; Serve starts another, and the calls in
flight see their actor die.
A leaf: runs inside Ray Serve, and its engine imports vLLM.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence

from synth import storage
from synth.cluster.metrics import ReplicaMetrics
from synth.config.schema import ModelConfig, StorageConfig
from synth.errors import Overdue
from synth.pools.engine import Engine, EngineLost
from synth.pools.layout import EnginePlan, run_and_role
from synth.pools.owner import leave_without_owner
from synth.records import Message, Reply, Sampling

_WATCH_PERIOD_S = 1.0
log = logging.getLogger(__name__)


class Replica:
    """Serves one engine to callers of `generate`.

    Args:
        plan: What it hosts.
        seed: Of the engine.
        stall_s: With calls in flight and no progress for so long, the engine counts as dead.
        owner: Name of the actor whose end is this replica's, too.
        section: How `s3://` is reached.
    """

    def __init__(
        self,
        plan: EnginePlan,
        seed: int,
        stall_s: float,
        owner: str,
        section: StorageConfig,
    ) -> None:
        storage.use(section)
        self._engine = open_engine(plan.model, plan.max_num_seqs, seed)
        self._metrics = ReplicaMetrics(*run_and_role(plan.app))
        self._stall_s = stall_s
        self._in_flight = 0
        self._busy_since = 0.0
        self._watches = [
            asyncio.create_task(self._watch_engine()),
            asyncio.create_task(leave_without_owner(owner, plan.app)),
        ]

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, timeout_s: float
    ) -> Reply:
        """Complete or score `messages`, in `timeout_s` at most.

        Raises:
            Invalid: The request can never work.
            RowFault: It was rejected; `Overdue` where it was not done in time.
        """
        if not self._in_flight:
            self._busy_since = time.monotonic()
        self._in_flight += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await self._engine.complete(messages, sampling)
        except TimeoutError as error:
            raise Overdue(f"no completion within its {timeout_s:g} s") from error
        except EngineLost as error:
            self._leave(str(error))
            raise
        finally:
            self._in_flight -= 1

    def process_id(self) -> int:
        """Return the replica's process, for fault injection."""
        return os.getpid()

    def check_health(self) -> None:
        """Tell Serve, should the watch below be late."""
        if self._engine.dead():
            raise RuntimeError("the engine is dead")

    def __del__(self) -> None:
        # Serve calls this when it stops a replica; an engine left running logs false alarms.
        for watch in getattr(self, "_watches", ()):
            watch.cancel()
        if hasattr(self, "_engine"):
            self._engine.close()

    async def _watch_engine(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_PERIOD_S)
            self._metrics.look(*self._engine.prefix_cache())
            if self._engine.dead():
                self._leave("the engine died")
            idle_s = time.monotonic() - max(self._engine.progress(), self._busy_since)
            if self._in_flight and idle_s > self._stall_s:
                self._leave(f"{self._in_flight} calls in flight and no progress for {idle_s:.0f} s")

    def _leave(self, why: str) -> None:
        log.error("the replica ends itself: %s", why)
        try:
            self._engine.kill()
        finally:
            os._exit(1)


def open_engine(model: ModelConfig, max_num_seqs: int, seed: int) -> Engine:
    """Start the engine that `model` asks for. Call it on the event loop that will use it."""
    # vLLM and torch are imported in the process that runs them, and nowhere else.
    if model.backend == "scripted":
        from synth.pools.scripted import ScriptedEngine  # noqa: PLC0415

        return ScriptedEngine(model)
    if model.head == "score":
        from synth.pools.vllm import ScoringEngine  # noqa: PLC0415

        return ScoringEngine(model, max_num_seqs, seed)
    from synth.pools.vllm import VllmEngine  # noqa: PLC0415

    return VllmEngine(model, max_num_seqs, seed)
