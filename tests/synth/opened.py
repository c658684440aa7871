"""Engines on a running cluster, for as long as a test needs them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from synth.chat import ChatSpec
from synth.config.schema import Limits, ModelConfig
from synth.pools.layout import chats_of, plan_pools
from synth.pools.lifecycle import open_engines


@asynccontextmanager
async def engines(
    models: Mapping[str, ModelConfig],
    run: str,
    limits: Limits,
    logs: Path | None = None,
    own: Callable[[], bool] = lambda: True,
) -> AsyncIterator[dict[str, ChatSpec]]:
    """Open what `models` need, and yield how each role's chat is opened."""
    pools = plan_pools(models, run, limits)
    async with open_engines(pools, run, limits, logs=logs, own=own):
        yield chats_of(pools)
