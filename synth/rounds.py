"""What is due next: retries, first steps, later steps, and rounds towards a quota.

Everything is decided from storage and config alone; planning the same state twice gives the
same round, and the publishing door lets only the first one count.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from synth.ledger import again, owed, read_traces
from synth.plan import Lease, num_rounds, planned_tries, publish_round
from synth.recipes import Recipe
from synth.records import Item, Outcome, Seed
from synth.run import Run

OVERSHOOT = 1.1  # of the deficit: acceptance differs from round to round
FIRST_ACCEPTANCE = 0.5  # assumed before anything has been seen
LEAST_ACCEPTANCE = 0.02  # so that an unlucky first round does not plan the whole budget

Cell = tuple[str, str, str]  # recipe, label, category
Accepted = Callable[[Run], Counter[Cell]]


def plan_due(run: Run, accepted: Accepted) -> list[Lease]:
    """Publish what is due as a new round; return every lease that is owed."""
    if items := due_items(run, accepted):
        publish_round(run.workspace, num_rounds(run.workspace), items)
    return owed(run.workspace)


def due_items(run: Run, accepted: Accepted) -> list[Item]:
    """Return the attempts to plan now, of items that are not planned yet or were interrupted."""
    planned = planned_tries(run.workspace)
    index = num_rounds(run.workspace)
    if run.config.accepted is None:
        first = _samples(run, run.config.samples)
    else:
        first = _towards_quota(run, planned.keys(), accepted)
    fresh = (item for item in [*first, *_later_steps(run)] if item.item_id not in planned)
    return [
        *again(run.workspace, [Outcome.INTERRUPTED]),
        *(replace(item, round=index) for item in fresh),
    ]


def _samples(run: Run, samples: int) -> Iterator[Item]:
    for recipe in run.recipes.values():
        for guidelines in _sets(run, recipe):
            for seed in run.train:
                for sample_index in range(samples):
                    yield _first_item(recipe, guidelines, seed, sample_index)


def _sets(run: Run, recipe: Recipe) -> list[str]:
    return list(run.guidelines) if recipe.guided else [""]


def _first_item(recipe: Recipe, guidelines: str, seed: Seed, sample_index: int) -> Item:
    return Item(seed=seed, recipe=recipe.name, guidelines=guidelines, sample_index=sample_index)


def _later_steps(run: Run) -> Iterator[Item]:
    """Yield the items of steps whose predecessors have all ended."""
    several = [recipe for recipe in run.recipes.values() if len(recipe.steps) > 1]
    if not several or owed(run.workspace):
        return
    rows = read_traces(run.workspace, recipes=[recipe.name for recipe in several]).to_pylist()
    for recipe in several:
        for index, step in enumerate(recipe.steps[1:], start=1):
            before = [
                row
                for row in rows
                if row["recipe"] == recipe.name
                and row["step"] == index - 1
                and row["outcome"] == Outcome.OK
            ]
            assert step.items is not None, f"step {index} of {recipe.name} makes no items"
            yield from step.items(before)


def _towards_quota(run: Run, planned: Iterable[str], accepted: Accepted) -> Iterator[Item]:
    quota = run.config.accepted
    assert quota is not None
    taken = set(planned)
    budget = quota.budget - len(taken)
    have, tried = accepted(run), _tried(run)
    for recipe in run.recipes.values():
        for (label, category), seeds in _cells(run.train).items():
            cell = (recipe.name, label, category)
            wanted = min(budget, needed(quota.per_category, have[cell], tried[cell]))
            fresh = _fresh_items(run, recipe, seeds, taken)
            for item, _ in zip(fresh, range(wanted), strict=False):
                budget -= 1
                yield item


def needed(quota: int, accepted: int, tried: int) -> int:
    """Return how many more candidates a cell should get: deficit / acceptance x `OVERSHOOT`."""
    deficit = quota - accepted
    if deficit <= 0:
        return 0
    acceptance = max(accepted / tried, LEAST_ACCEPTANCE) if tried else FIRST_ACCEPTANCE
    return math.ceil(deficit / acceptance * OVERSHOOT)


def _tried(run: Run) -> Counter[Cell]:
    table = read_traces(run.workspace, columns=["recipe", "label", "category"])
    return Counter(zip(*table.to_pydict().values(), strict=True))


def _cells(seeds: Iterable[Seed]) -> Mapping[tuple[str, str], list[Seed]]:
    cells: dict[tuple[str, str], list[Seed]] = {}
    for seed in seeds:
        cells.setdefault((seed.label, seed.category), []).append(seed)
    return cells


def _fresh_items(run: Run, recipe: Recipe, seeds: list[Seed], taken: set[str]) -> Iterator[Item]:
    """Yield unplanned items of a cell without end: every seed once, then again."""
    sample_index = 0
    while True:
        for guidelines in _sets(run, recipe):
            for seed in seeds:
                item = _first_item(recipe, guidelines, seed, sample_index)
                if item.item_id not in taken:
                    yield item
        sample_index += 1
