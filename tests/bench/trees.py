"""How much faster do trees grow together than one by one? `python -m tests.bench.trees`

Trees a minute of many trees at once with siblings at once, over the same code with one tree at a
time and siblings in sequence, on the embedded model: the median of alternating pairs. The shares
of prompt tokens that the prefix cache held stand beside the ratio; it is on in both sides.

The embedded model knows no marks of steps: a step ends where its tokens end, or the turn does.
Prompts are harmful requests under the `released` reward, which asks no model.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from synth.chat import Chat
from synth.config.schema import ModelConfig, SeedsConfig
from synth.recipes.trees.reward import Drawing, rater, released, writer
from synth.recipes.trees.search import Rules, Tree, grow
from synth.records import ABILITIES, Ability, Message, Reply, Sampling, Seed
from synth.seeds.seeds import load_seeds
from tests.bench import harness
from tests.bench.harness import Json

if TYPE_CHECKING:
    from synth.pools.vllm import VllmEngine

SIDES = ("together", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is grown.

    Attributes:
        trees: Number of trees, one a prompt.
        budget: Iterations of a tree.
        width: Siblings of an expansion.
        step_tokens: Most tokens of a step.
        rollout_tokens: Most tokens of a rollout.
        max_num_seqs: Sequences the engine runs at once.
    """

    trees: int = 16
    budget: int = 8
    width: int = 4
    step_tokens: int = 24
    rollout_tokens: int = 48
    max_num_seqs: int = 64


def bench() -> Json:
    """Measure pairs of the two sides."""
    parser = harness.make_parser(__doc__, Load())
    parser.add_argument("--pairs", type=int, default=1)
    known = parser.parse_args()
    load = harness.read_load(known, Load)
    return summarize(load, harness.measure_pairs(SIDES, partial(measure, load), known.pairs))


def measure(load: Load, side: str) -> Json:
    """Run one side."""
    grown = harness.run_side("trees", side, load)
    harness.say(f"{side}: {grown}")
    return grown


def summarize(load: Load, pairs: list[tuple[Json, Json]]) -> Json:
    """Return what others read: `ratio` is of trees a minute; the rest stands by side."""
    by_side = dict(zip(SIDES, zip(*pairs, strict=True), strict=True))
    names = ("trees_per_min", "prefix_hit_rate", "nodes", "calls", "output_tokens")
    ratios = [a["trees_per_min"] / b["trees_per_min"] for a, b in pairs]
    return {
        **harness.median_ratio(ratios, 2),
        **{
            name: {side: [one[name] for one in found] for side, found in by_side.items()}
            for name in names
        },
        **asdict(load),
    }


class Door:
    """A chat on an engine of this process, that lets so many calls through at once."""

    def __init__(self, engine: "VllmEngine", calls_at_once: int) -> None:
        self.can: frozenset[Ability] = ABILITIES
        self.calls = self.output_tokens = 0
        self._engine, self._slots = engine, asyncio.Semaphore(calls_at_once)

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        async with self._slots:
            reply = await self._engine.complete(messages, sampling)
        self.calls += 1
        self.output_tokens += reply.output_tokens
        return reply


def together(load: Load) -> Json:
    """Grow all trees at once, as workers do, and siblings at once."""
    return asyncio.run(_measure(load, trees_at_once=load.trees, calls_at_once=load.max_num_seqs))


def sequence(load: Load) -> Json:
    """Grow one tree after the other, one call at a time, so that siblings follow each other."""
    return asyncio.run(_measure(load, trees_at_once=1, calls_at_once=1))


async def _measure(load: Load, *, trees_at_once: int, calls_at_once: int) -> Json:
    """Load an engine, then time all trees on it."""
    from synth.pools.vllm import VllmEngine  # noqa: PLC0415 - not in the process that compares

    model = ModelConfig(
        model="embedded",
        engine_args={"max_model_len": 1024, "max_num_seqs": load.max_num_seqs, "block_size": 32},
    )
    engine = VllmEngine(model, load.max_num_seqs, seed=0)
    try:
        await engine.complete([Message(role="user", content="Hello.")], Sampling(max_tokens=1))
        return await _grow(load, engine, asyncio.Semaphore(trees_at_once), calls_at_once)
    finally:
        engine.close()


async def _grow(
    load: Load, engine: "VllmEngine", turns: asyncio.Semaphore, calls_at_once: int
) -> Json:
    door = Door(engine, calls_at_once)

    async def grow_one(seed: Seed) -> Tree:
        async with turns:
            return await _tree(door, seed, load)

    seeds = [seed for seed in load_seeds(SeedsConfig()) if seed.label == "harmful"][: load.trees]
    queries, hits = engine.prefix_cache()
    started = time.perf_counter()
    trees = await asyncio.gather(*map(grow_one, seeds))
    seconds = time.perf_counter() - started
    queries_after, hits_after = engine.prefix_cache()
    return {
        "trees_per_min": round(60 * len(trees) / seconds, 2),
        "prefix_hit_rate": round((hits_after - hits) / (queries_after - queries), 4),
        "nodes": sum(len(tree.nodes) for tree in trees),
        "calls": door.calls,
        "output_tokens": door.output_tokens,
    }


async def _tree(chat: Chat, seed: Seed, load: Load) -> Tree:
    drawing = Drawing(
        temperature=1.2,
        top_p=0.9,
        top_k=50,
        step_tokens=load.step_tokens,
        rollout_tokens=load.rollout_tokens,
    )
    rules = Rules(budget=load.budget, width=load.width, depth=7, exploration=1.5)
    sample = writer(chat, seed.messages, drawing)
    score = rater(chat, seed, released, Sampling(), k1=1, k2=1)
    return await grow(sample, score, rules, Random(seed.seed_id))


if __name__ == "__main__":
    harness.main(bench, {"together": together, "sequence": sequence}, Load)
