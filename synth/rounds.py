"""What is due next: retries, first steps, later steps, and rounds towards a quota.

Everything is decided from storage and config alone; planning the same state twice gives the
same round, and the publishing door lets only the first one count. Items are made as they are
published: a plan never stands in memory.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, count, islice

from synth.known import Known
from synth.ledger import again, owed, read_traces
from synth.plan import Lease, lease_rows, num_rounds, planned_ids, publish_round
from synth.recipes import Recipe
from synth.records import Item, Outcome, Seed
from synth.run import Run

OVERSHOOT = 1.1  # of the deficit: acceptance differs from round to round
FIRST_ACCEPTANCE = 0.5  # assumed before anything has been seen
LEAST_ACCEPTANCE = 0.02  # so that an unlucky first round does not plan the whole budget
BATCH_ROWS = 4096  # items looked up in the plan at once

Cell = tuple[str, str, str]  # recipe, label, category
Accepted = Callable[[Run], Counter[Cell]]


def plan_due(run: Run, accepted: Accepted) -> list[Lease]:
    """Publish what is due as a new round; return every lease that is owed."""
    due = due_items(run, accepted)
    if (first := next(due, None)) is not None:
        index, rows = num_rounds(run.workspace), lease_rows(_most_rows(run))
        publish_round(run.workspace, index, chain([first], due), rows=rows)
    return owed(run.workspace)


def due_items(run: Run, accepted: Accepted) -> Iterator[Item]:
    """Yield the attempts to plan now, of items that are not planned yet or were interrupted."""
    planned = planned_ids(run.workspace)
    index = num_rounds(run.workspace)
    if run.config.accepted is None:
        first = _samples(run, run.config.samples)
    else:
        first = _towards_quota(run, planned, accepted)
    yield from again(run.workspace, [Outcome.INTERRUPTED])
    for item in _unplanned(chain(first, _later_steps(run)), planned):
        yield replace(item, round=index)


def _unplanned(
    items: Iterable[Item], planned: Known, batch_rows: int = BATCH_ROWS
) -> Iterator[Item]:
    left = iter(items)
    while batch := list(islice(left, min(batch_rows, BATCH_ROWS))):
        known = planned.contains([item.item_id for item in batch])
        yield from (item for item, is_known in zip(batch, known, strict=True) if not is_known)


def _most_rows(run: Run) -> int:
    """Return how many rows the run may come to have in its first steps."""
    if run.config.accepted is not None:
        return run.config.accepted.budget
    sets = sum(len(_sets(run, recipe)) for recipe in run.recipes.values())
    return sets * len(run.train) * run.config.samples


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


def _towards_quota(run: Run, planned: Known, accepted: Accepted) -> Iterator[Item]:
    quota = run.config.accepted
    assert quota is not None
    budget = quota.budget - len(planned)
    have, tried = accepted(run), _tried(run)
    for recipe in run.recipes.values():
        for (label, category), seeds in _cells(run.train).items():
            cell = (recipe.name, label, category)
            wanted = min(budget, needed(quota.per_category, have[cell], tried[cell]))
            candidates = _endless_items(run, recipe, seeds)
            for item in islice(_unplanned(candidates, planned, max(1, wanted)), wanted):
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


def _endless_items(run: Run, recipe: Recipe, seeds: list[Seed]) -> Iterator[Item]:
    """Yield items of a cell without end: every seed once, then again."""
    for sample_index in count():
        for guidelines in _sets(run, recipe):
            for seed in seeds:
                yield _first_item(recipe, guidelines, seed, sample_index)
