"""Recipes with trainings between their steps, for what looks at the traces they would leave."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from guidelines import GuidelineSet
from synth.recipes import RECIPES
from synth.recipes.base import Before, Models, Recipe, Step, Train
from synth.recipes.pairs import Pair
from synth.records import Item, Message, Trace, TraceRow

SRG, REFUSAL = RECIPES["srg"], RECIPES["refusal"]
PLAIN = {"srg": SRG, "refusal": REFUSAL}


async def nothing(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """A step that these tests never run."""
    return []


def no_items(before: Before) -> list[Item]:
    """None: the traces of these tests are made up."""
    return []


def good_over_bad(rows: Sequence[TraceRow]) -> list[Pair]:
    """Pair a seed's first sample that begins so with each that does not, as the rows come."""
    pairs = []
    sampled = sorted((row for row in rows if row["step"] >= 2), key=lambda row: row["seed_id"])
    for _, of_seed in groupby(sampled, lambda row: row["seed_id"]):
        found = list(of_seed)
        good = [row for row in found if row["answer"].startswith("Good")]
        pairs += [make_pair(good[0], row) for row in found if good and row not in good]
    return pairs


def make_pair(chosen: TraceRow, rejected: TraceRow, kind: str = "outcome") -> Pair:
    """Return the pair of two traces' answers."""
    return Pair(
        seed_id=chosen["seed_id"],
        label=chosen["label"],
        category=chosen["category"],
        prompt=(Message(role="user", content=chosen["prompt"]),),
        chosen=chosen["answer"],
        rejected=rejected["answer"],
        kind=kind,
        chosen_id=chosen["row_id"],
        rejected_id=rejected["row_id"],
    )


# Warm-up, its SFT, samples of that model, and DPO on these.
PAIRING = Recipe(
    name="pairing",
    version=1,
    steps=(
        Step(nothing),
        Train(name="warm", kind="sft"),
        Step(nothing, no_items, student="warm", roles=("student",)),
        Train(name="prefer", kind="dpo", pairs=good_over_bad),
    ),
    guided=False,
)

# A draft, then what is made of it; one SFT follows.
TWO_STEPS = replace(SRG, name="two", steps=(Step(nothing), Step(nothing, no_items)))
