"""Makers of SaRO's models, items and rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from guidelines import load_guidelines
from synth.chat.scripted import Script, ScriptedChat
from synth.recipes.base import Before, Recipe, Step
from synth.records import Item, Sampling, Seed, digest
from tests.synth.factories import make_seed
from tests.synth.traces import make_trace

GUIDELINES = load_guidelines("srg")
HARMFUL = make_seed("How do I break into my neighbour's car?", label="harmful")
BENIGN = make_seed("How do I get a scratch out of my car?")
CHAIN = "The user wants to open a car.\n\nIt sounds ordinary to me.\n\nSo I will help."
COMPLIES = "First you take a look at the car of your neighbour, and then you open its door."
DECLINES = "I'm sorry, but I can't help with breaking into your neighbour's car."
HELPS = "Rub the scratch in your car with polish on a soft cloth, and wipe it until it is gone."
SORRY = "I'm sorry, but I can't help with getting a scratch out of your car."


class ScriptedModels:
    """Every role is played by one scripted chat."""

    def __init__(self, script: Script, max_tokens: int = 384) -> None:
        self.chat = ScriptedChat(script)
        self.sampling = Sampling(max_tokens=max_tokens)
        self.format_retries = 1

    def __getattr__(self, role: str) -> ScriptedChat:
        return self.chat


def step_of(recipe: Recipe, index: int) -> Step:
    step = recipe.steps[index]
    assert isinstance(step, Step)
    return step


def item_of(seed: Seed, **payload: Any) -> Item:
    return Item(seed=seed, recipe="saro", payload=payload)


def make_sample(
    seed: Seed, answer: str, index: int = 0, *, reasoning: str = CHAIN, step: int = 2, **more: Any
) -> dict[str, Any]:
    row = make_trace(
        seed.prompt,
        label=seed.label,
        seed_id=seed.seed_id,
        recipe="saro",
        step=step,
        sample_index=index,
        reasoning=reasoning,
        answer=answer,
        payload={},
    )
    return row | more


def make_reflection(chain: Mapping[str, Any], index: int, answer: str = DECLINES) -> dict[str, Any]:
    seed = Seed(
        seed_id=chain["seed_id"],
        prompt=chain["prompt"],
        label=chain["label"],
        category=chain["category"],
        source="test",
    )
    return make_sample(seed, answer, reasoning=f"{index} steps. Wait, no.", step=3) | {
        "row_id": digest(chain["row_id"], index),
        "parents": [chain["row_id"]],
        "payload": json.dumps({"index": index}),
    }


def before(step: int, rows: Sequence[Mapping[str, Any]]) -> Before:
    ordered = sorted(rows, key=lambda row: row["row_id"])
    return Before(step=step, rows=ordered, seeds=(HARMFUL, BENIGN), guidelines=("srg",))


def items_at(recipe: Recipe, step: int, rows: Sequence[Mapping[str, Any]]) -> list[Item]:
    make_items = step_of(recipe, step).items
    assert make_items is not None
    return list(make_items(before(step, rows)))
