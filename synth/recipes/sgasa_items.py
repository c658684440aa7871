"""What SGASA tries next: examples, kept prompts, and items until a quota is met.

All of it is a pure function of the rows there are. Whatever may ever be tried has its place in a
list of bounded length, and what is chosen is chosen by digests.
"""

import json
import math
from collections.abc import Collection, Iterator, Sequence

from synth.errors import BadInput
from synth.recipes.base import Before
from synth.recipes.sgasa_asking import SgasaOptions
from synth.records import Item, Message, Seed, TraceRow, digest
from synth.seeds.near_duplicates import near_duplicates

RECIPE = "sgasa"  # ours: also the source of its prompts
GUIDELINES, PROMPTS, ANSWERS, SAMPLES = 0, 1, 2, 4  # ours: places of the steps; 3 is the SFT
LABELS = ("harmful", "benign")  # paper
SIMILARITY = 0.8  # ours: of near-identical prompts, as in curation
KEPT = "kept"  # ours: what the payload says of a prompt that is answered


def guideline_items(before: Before, *, options: SgasaOptions) -> Iterator[Item]:
    """Yield items that write and verify a guideline, until enough are verified.

    Raises:
        BadInput: There are too few examples.
    """
    examples = [seed for label in LABELS for seed in examples_of(before, label, options)]
    shown = [{"seed_id": s.seed_id, "label": s.label, "prompt": s.prompt} for s in examples]
    items = [
        Item(seed=examples[0], recipe=RECIPE, sample_index=i, payload={"examples": shown})
        for i in range(options.guideline_tries)
    ]
    yield from further(items, before, options.guidelines, len(verified(before)))


def prompt_items(before: Before, *, options: SgasaOptions) -> Iterator[Item]:
    """Yield items that write a prompt, for each label until enough are kept.

    An item's seed is the first example that it shows: the new prompt takes its label and category.
    Without a verified guideline nothing could answer the prompts, and none is written.
    """
    for label in LABELS if verified(before) else ():
        examples = examples_of(before, label, options)
        items = []
        for i in range(options.prompt_tries):
            shown = sorted(examples, key=lambda seed: digest(i, seed.seed_id))[: options.shown]
            payload = {"shown": [seed.prompt for seed in shown]}
            items.append(
                Item(seed=shown[0], recipe=RECIPE, step=PROMPTS, sample_index=i, payload=payload)
            )
        have = len(kept_prompts(before, label))
        yield from further(items, before, getattr(options.prompts, label), have)


def answer_items(before: Before, met: Collection[str], *, options: SgasaOptions) -> Iterator[Item]:
    """Yield items that answer a kept prompt under a verified guideline, one that a digest says.

    Args:
        before: What is there.
        met: Ids of the prompts that have given a row.
        options: Of the recipe.
    """
    guidelines = verified(before)[: options.guidelines]
    for label in LABELS if guidelines else ():
        prompts = kept_prompts(before, label)
        items = []
        for i in range(options.answer_tries):
            for seed, row in prompts:
                lot = int(digest(RECIPE, seed.seed_id, i), 16) % len(guidelines)
                items.append(
                    Item(
                        seed=seed,
                        recipe=RECIPE,
                        step=ANSWERS,
                        sample_index=i,
                        parents=(row["row_id"], guidelines[lot]["row_id"]),
                        payload={"guideline": guidelines[lot]["answer"]},
                    )
                )
        yield from further(items, before, getattr(options.sft, label), _met(prompts, met), met)


def sample_items(before: Before, met: Collection[str], *, options: SgasaOptions) -> Iterator[Item]:
    """Yield items that sample the student; the prompts that its SFT began with come last.

    Args:
        before: What is there.
        met: Ids of the prompts that have given a pair.
        options: Of the recipe.
    """
    for label in LABELS:
        prompts = kept_prompts(before, label)[::-1]
        items = [
            Item(
                seed=seed,
                recipe=RECIPE,
                step=SAMPLES,
                sample_index=i,
                parents=(row["row_id"],),
            )
            for i in range(options.answer_tries)
            for seed, row in prompts
        ]
        yield from further(items, before, getattr(options.dpo, label), _met(prompts, met), met)


def examples_of(before: Before, label: str, options: SgasaOptions) -> list[Seed]:
    """Return the examples of a label: the first seeds of one turn, in the order of their ids.

    Raises:
        BadInput: There are fewer than asked for.
    """
    found = sorted(
        (seed for seed in before.seeds if seed.label == label and not seed.context),
        key=lambda seed: seed.seed_id,
    )
    if len(found) < options.examples:
        rule = f"sgasa needs {options.examples} of one turn (options.sgasa.examples)"
        field = f"{label} training seeds"
        raise BadInput(file="config", field=field, value=len(found), rule=rule)
    return found[: options.examples]


def verified(before: Before) -> list[TraceRow]:
    """Return the rows of verified guidelines, in the order of `row_id`."""
    rows = before.traces(GUIDELINES)
    return [row for row in rows if json.loads(row["payload"])["verified"]]


def kept_prompts(before: Before, label: str) -> list[tuple[Seed, TraceRow]]:
    """Return the new prompts of a label, and the row of each, in the order of their ids.

    Of those that are nearly the same, one is taken.
    """
    found: dict[str, tuple[Seed, TraceRow]] = {}
    for row in before.traces(PROMPTS):
        if row["label"] == label and json.loads(row["payload"])["verdict"] == KEPT:
            seed = _new_seed(row)
            found.setdefault(seed.seed_id, (seed, row))
    repeats = near_duplicates({key: seed.prompt for key, (seed, _) in found.items()}, SIMILARITY)
    return [found[key] for key in sorted(found.keys() - repeats.keys())]


def further(
    items: Sequence[Item],
    before: Before,
    wanted: int,
    have: int,
    met: Collection[str] = (),
) -> list[Item]:
    """Return what to try now of `items`, which are all that may be tried.

    Where the share that succeeded so far stays, they meet the quota. The first time just as many
    are tried as are wanted, and never more at once than so many or have been tried before: a
    share seen on few says little.

    Args:
        items: In the order of trying.
        before: What is there.
        wanted: The quota.
        have: How many there are towards it.
        met: Ids of the seeds that need no further try.
    """
    ended = {row["item_id"] for row in before.rows}
    fresh = [item for item in items if item.item_id not in ended]
    missing, tried = max(0, wanted - have), len(items) - len(fresh)
    asked_for = math.ceil(missing * (tried + 1) / (have + 1))
    due = min(asked_for, max(missing, tried))
    return [item for item in fresh if item.seed.seed_id not in met][:due]


def _met(prompts: Sequence[tuple[Seed, TraceRow]], met: Collection[str]) -> int:
    return sum(seed.seed_id in met for seed, _ in prompts)


def _new_seed(row: TraceRow) -> Seed:
    turn = Message(role="user", content=row["answer"])
    return Seed(
        seed_id=digest([turn]),
        prompt=row["answer"],
        label=row["label"],
        category=row["category"],
        source=RECIPE,
    )
