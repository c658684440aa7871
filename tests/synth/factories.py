"""Small makers of the records, and of the runs, that tests are about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synth.calls.gate import Gate
from synth.calls.metering import Meter, MeteredChat, PoolHealth, RoleCalls
from synth.chat import Chat, ChatSpec
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.pools.layout import PoolPlan
from synth.recipes.base import Recipe
from synth.records import Item, Seed, digest
from synth.run import Run
from synth.workspace.workspace import Workspace


def make_seed(
    prompt: str = "How do I bake bread?", *, label: str = "benign", category: str = "cooking"
) -> Seed:
    return Seed(
        seed_id=digest([], prompt), prompt=prompt, label=label, category=category, source="test"
    )


def make_items(count: int, *, recipe: str = "tests.synth.scripts.echo") -> list[Item]:
    return [Item(seed=make_seed(f"Question number {i}?"), recipe=recipe) for i in range(count)]


def make_pool(script: str, *, max_calls: int = 8) -> PoolPlan:
    """Make up a pool of one teacher, whose replies the script `module:function` makes."""
    spec = ChatSpec(kind="scripted", model_id="scripted", script=script)
    return PoolPlan(chats={"teacher": spec}, max_calls=max_calls)


def metered(chat: Chat, role: str, gate: Gate, health: PoolHealth) -> MeteredChat:
    """Return a new row's view of a role that calls `chat`."""
    return MeteredChat(RoleCalls(role, chat, gate, health), Meter())


def make_run(
    folder: Path, recipe: Recipe, path: str, *, seeds: Sequence[Seed], **fields: Any
) -> Run:
    """Make up a run of one recipe on a scripted teacher, unless told of another, without workers.

    Args:
        folder: Its folder.
        recipe: The recipe.
        path: Where workers would find it.
        seeds: The training seeds.
        fields: Of its configuration.
    """
    told = {"teacher": ModelConfig(model="scripted"), "limits": Limits(workers=0), **fields}
    config = SynthConfig.model_validate({"run": str(folder), **told})
    return Run(
        config=config,
        workspace=Workspace(config.workspace),
        recipes={recipe.name: recipe},
        recipe_paths={recipe.name: path},
        guidelines={},
        train=list(seeds),
        evaluation=[],
        contaminated={},
    )


def make_loaves(count: int) -> list[Seed]:
    """Make up seeds that differ."""
    return [make_seed(f"How do I bake loaf {i}?") for i in range(count)]
