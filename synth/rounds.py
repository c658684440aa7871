"""What is due next: retries, first steps, later steps, and rounds towards a quota.

A recipe's steps go one after the other: a step begins when the one before it has nothing more to
run, and a step that samples from a model of the recipe's own when that is trained.

Everything is decided from storage and config alone; planning the same state twice gives the
same round, and the publishing door lets only the first one count. Items are made as they are
published: a plan never stands in memory.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, count, islice

import pyarrow as pa
import pyarrow.compute as pc

from synth.recipes.base import Before, ItemsFunction, Recipe, Row, Step, Train
from synth.records import STUDENT, Cell, Item, Outcome, Seed
from synth.run import Run
from synth.students import current_traces, model_ids
from synth.token_budget import ACCOUNT, phases, samples_for
from synth.workspace.plan import Kind, Lease, Plan, lease_rows


def owed_by(run: Run) -> list[Lease]:
    """Return the owed leases that this run is to work off, now or when their student is trained."""
    concerns = _concerns(run)
    return [
        lease
        for lease in run.workspace.owed()
        if concerns(lease.kind, lease.student, lease.guidelines)
    ]


def interrupted(run: Run) -> list[Item]:
    """Return a further try of each of the run's items that was interrupted."""
    concerns = _concerns(run)
    return [
        item
        for item in run.workspace.again([Outcome.INTERRUPTED])
        if concerns((item.recipe, item.step), item.student, [item.guidelines])
    ]


def of_others(run: Run) -> tuple[int, int]:
    """Return how many owed leases, and how many interrupted items, are not this run's to do."""
    leases = len(run.workspace.owed()) - len(owed_by(run))
    items = sum(1 for _ in run.workspace.again([Outcome.INTERRUPTED])) - len(interrupted(run))
    return leases, items


def _concerns(run: Run) -> Callable[[Kind, str, Iterable[str]], bool]:
    """Return what says whether items are due here, by their kind, student and guideline sets.

    They are not where no recipe of the run has such a step, or the step asks no student any more,
    or all their guideline sets are gone: the configuration may have changed since they were
    planned, and change back. Nor are they, in a workspace that others share, where their student
    may be one of theirs, which no model here can answer for.
    """
    shared = run.config.traces is not None
    students = {
        name: set(model_ids(run.config, recipe).values()) if shared else set()
        for name, recipe in run.recipes.items()
    }

    def concerns(kind: Kind, student: str, guidelines: Iterable[str]) -> bool:
        name, index = kind
        steps = run.recipes[name].steps if name in run.recipes else ()
        step = steps[index] if index < len(steps) else None
        if not isinstance(step, Step) or (student and not step.student):
            return False
        if not {"", *run.guidelines} & {*guidelines}:
            return False
        return not student or not shared or student in students[name]

    return concerns


OVERSHOOT = 1.1  # of the deficit: acceptance differs from round to round
FIRST_ACCEPTANCE = 0.5  # assumed before anything has been seen
LEAST_ACCEPTANCE = 0.02  # so that an unlucky first round does not plan the whole budget
BATCH_ROWS = 4096  # items looked up in the plan at once

Accepted = Callable[[Run], Counter[Cell]]


def plan_due(run: Run, accepted: Accepted) -> list[Lease]:
    """Publish what is due as a new round; return every lease that is owed."""
    rows, rows_of = lease_rows(_most_rows(run)), _lease_rows(run)
    run.workspace.plan_more(lambda: due_items(run, accepted), rows=rows, rows_of=rows_of)
    return owed_by(run)


def due_items(run: Run, accepted: Accepted) -> Iterator[Item]:
    """Yield the attempts to plan now, of items that are not planned yet or were interrupted."""
    planned = run.workspace.plan()
    retried = interrupted(run)
    open_recipes = _open_recipes(run, retried)
    later = _later_steps(run, planned, open_recipes)
    busy = open_recipes | later.keys()
    if run.config.accepted is not None:
        first = _towards_quota(run, planned, accepted, busy)
    elif run.config.tokens is not None:
        first = _within_tokens(run, run.config.tokens, busy)
    else:
        first = _samples(run, {})
    yield from chain(retried, _unplanned(first, planned), *later.values())


def due_steps(run: Run) -> dict[str, int]:
    """Return the first step, of each recipe that has one, that could run now and has not."""
    due: dict[str, int] = {}
    retried = interrupted(run)
    kinds = {lease.kind for lease in owed_by(run)} | {(i.recipe, i.step) for i in retried}
    later = _later_steps(run, run.workspace.plan(), {recipe for recipe, _ in kinds})
    for recipe, step in kinds | {(name, next(items).step) for name, items in later.items()}:
        due[recipe] = min(step, due.get(recipe, step))
    return due


def _open_recipes(run: Run, retried: Iterable[Item]) -> set[str]:
    """Return the recipes that have planned items which have not ended."""
    return {lease.recipe for lease in owed_by(run)} | {item.recipe for item in retried}


def _lease_rows(run: Run) -> dict[Kind, int]:
    """Return how many rows a lease has, of the steps that say so themselves."""
    return {
        (recipe.name, index): step.lease_rows
        for recipe in run.recipes.values()
        for index, step in enumerate(recipe.steps)
        if isinstance(step, Step) and step.lease_rows is not None
    }


def _unplanned(
    items: Iterable[Item], planned: Plan, batch_rows: int = BATCH_ROWS
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


def from_seeds(run: Run) -> list[Recipe]:
    """Return the recipes whose first items are the seeds, and which a quota can ask for more."""
    return [recipe for recipe in run.recipes.values() if makes_items(recipe.steps[0]) is None]


def makes_items(step: Step | Train) -> ItemsFunction | None:
    """Return what makes a step's items; None where they are the seeds, or where it trains."""
    return step.items if isinstance(step, Step) else None


def _samples(run: Run, samples: Mapping[str, int]) -> Iterator[Item]:
    """Yield the first items, as many a seed as `samples` says of the recipe, or the run."""
    for recipe in from_seeds(run):
        for guidelines in _sets(run, recipe):
            for seed in run.train:
                for sample_index in range(samples.get(recipe.name, run.config.samples)):
                    yield _first_item(recipe, guidelines, seed, sample_index)


def _within_tokens(run: Run, tokens: int, busy: Collection[str]) -> Iterator[Item]:
    """Yield first items, more of recipes that have ended and not spent their tokens."""
    samples = {
        recipe.name: samples_for(
            tokens, recipe, run.workspace.traces([recipe.name], ACCOUNT), run.config.samples
        )
        for recipe in from_seeds(run)
        if recipe.name not in busy
    }
    yield from _samples(run, samples)


def _sets(run: Run, recipe: Recipe) -> list[str]:
    return list(run.guidelines) if recipe.guided else [""]


def _first_item(recipe: Recipe, guidelines: str, seed: Seed, sample_index: int) -> Item:
    return Item(seed=seed, recipe=recipe.name, guidelines=guidelines, sample_index=sample_index)


def _later_steps(
    run: Run, planned: Plan, open_recipes: Collection[str]
) -> dict[str, Iterator[Item]]:
    """Return the items of each recipe's next step whose predecessors have all ended, if any."""
    several = [r for r in run.recipes.values() if any(map(makes_items, r.steps))]
    waiting = [recipe for recipe in several if recipe.name not in open_recipes]
    if not waiting:
        return {}
    traces = run.workspace.traces([recipe.name for recipe in waiting])
    due: dict[str, Iterator[Item]] = {}
    for recipe in waiting:
        of_recipe = traces.filter(pc.field("recipe") == recipe.name)
        items = _next_step(run, recipe, of_recipe, planned)
        if (first := next(items, None)) is not None:
            due[recipe.name] = chain([first], items)
    return due


def _next_step(run: Run, recipe: Recipe, traces: pa.Table, planned: Plan) -> Iterator[Item]:
    """Yield the fresh items of the first step that has any, and can run."""
    models = model_ids(run.config, recipe)
    rows = current_traces(recipe, traces, models).to_pylist()
    current = _as_asked_for(run, recipe, rows)
    for index, step in enumerate(recipe.steps):
        if (make_items := makes_items(step)) is None:
            continue
        assert isinstance(step, Step), "only steps make items"
        if step.student and step.student not in models:
            return  # it waits for its training
        before = Before(
            step=index,
            rows=[row for row in current if row["step"] <= index],
            seeds=run.train,
            samples=run.config.samples,
            guidelines=_sets(run, recipe),
        )
        stamp = {STUDENT: models[step.student]} if step.student else {}
        items = (replace(i, payload={**i.payload, **stamp}) for i in make_items(before))
        fresh = _unplanned(items, planned)
        if (first := next(fresh, None)) is not None:
            yield from chain([first], fresh)
            return


def _as_asked_for(run: Run, recipe: Recipe, rows: list[Row]) -> list[Row]:
    """Return the rows with the `item_id`s that the recipe knows: of items without a student.

    A step's `items` tells by these what has ended, and nothing of the models that are trained.
    """
    asking = {i for i, step in enumerate(recipe.steps) if isinstance(step, Step) and step.student}
    wanted = {row["item_id"] for row in rows if row["step"] in asking}
    if not wanted:
        return rows
    known: dict[str, str] = {}
    for item in run.workspace.find_items(wanted):
        payload = {key: value for key, value in item.payload.items() if key != STUDENT}
        known[item.item_id] = replace(item, payload=payload).item_id
    return [{**row, "item_id": known.get(row["item_id"], row["item_id"])} for row in rows]


def _towards_quota(
    run: Run, planned: Plan, accepted: Accepted, busy: Collection[str]
) -> Iterator[Item]:
    """Yield first items as long as too few are accepted, and the budget of them is not used up.

    Of a recipe whose later steps decide what is accepted, only when these have ended.
    """
    quota = run.config.accepted
    assert quota is not None
    budget = max(0, quota.budget - planned.num_items(step=0))
    have, tried = accepted(run), _tried(run)
    for recipe in from_seeds(run):
        if recipe.name in busy and len(phases(recipe)[0]) > 1:
            continue
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
    """Return the candidates that have ended: rows of first steps."""
    table = run.workspace.traces(columns=["recipe", "label", "category", "step"])
    first = table.filter(pc.field("step") == 0).drop_columns("step")
    return Counter(zip(*first.to_pydict().values(), strict=True))


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
