"""One side of the tree bench: `... together|sequence`, and the load.

Both sides run the same code of `synth/trees` on the same engine and prompts. `together` grows all
trees at once, as workers do, and siblings at once. `sequence` grows one tree after the other and
lets one call at a time through, so that siblings follow each other. Prefix caching is on in both.

The embedded model knows no marks of steps: a step ends where its tokens end, or the turn does.
Prompts are harmful requests under the `released` reward, which asks no model.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from random import Random
from typing import Literal

from synth.chat import Chat
from synth.config.schema import ModelConfig, SeedsConfig
from synth.pools.vllm import VllmEngine
from synth.recipes.trees.reward import Drawing, rater, released, writer
from synth.recipes.trees.search import Rules, Tree, grow
from synth.records import ABILITIES, Ability, Message, Reply, Sampling, Seed
from synth.seeds.seeds import load_seeds
from tests.bench.trees_load import Grown, Load

Side = Literal["together", "sequence"]


class Door:
    """A chat on an engine of this process, that lets so many calls through at once."""

    def __init__(self, engine: VllmEngine, calls_at_once: int) -> None:
        self.can: frozenset[Ability] = ABILITIES
        self.calls = self.output_tokens = 0
        self._engine, self._slots = engine, asyncio.Semaphore(calls_at_once)

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        async with self._slots:
            reply = await self._engine.complete(messages, sampling)
        self.calls += 1
        self.output_tokens += reply.output_tokens
        return reply


async def measure(side: Side, load: Load) -> Grown:
    """Load an engine, then time all trees on it."""
    model = ModelConfig(
        model="embedded",
        engine_args={"max_model_len": 1024, "max_num_seqs": load.max_num_seqs, "block_size": 32},
    )
    engine = VllmEngine(model, load.max_num_seqs, seed=0)
    try:
        await engine.complete([Message(role="user", content="Hello.")], Sampling(max_tokens=1))
        return await _time(side, load, engine)
    finally:
        engine.close()


async def _time(side: Side, load: Load, engine: VllmEngine) -> Grown:
    seeds = [seed for seed in load_seeds(SeedsConfig()) if seed.label == "harmful"][: load.trees]
    queries, hits = engine.prefix_cache()
    started = time.perf_counter()
    if side == "together":
        door = Door(engine, load.max_num_seqs)
        trees = await asyncio.gather(*(_tree(door, seed, load) for seed in seeds))
    else:
        door = Door(engine, 1)
        trees = [await _tree(door, seed, load) for seed in seeds]
    seconds = time.perf_counter() - started
    queries_after, hits_after = engine.prefix_cache()
    return Grown(
        seconds=seconds,
        trees=len(trees),
        nodes=sum(len(tree.nodes) for tree in trees),
        calls=door.calls,
        output_tokens=door.output_tokens,
        prefix_queries=queries_after - queries,
        prefix_hits=hits_after - hits,
    )


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
    known_side, *numbers = sys.argv[1:]
    if known_side not in ("together", "sequence"):
        raise SystemExit(__doc__)
    names = Load.__slots__
    grown = asyncio.run(
        measure(known_side, Load(**dict(zip(names, map(int, numbers), strict=True))))
    )
    print(json.dumps({name: getattr(grown, name) for name in Grown.__slots__}), flush=True)
