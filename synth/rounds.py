"""What is due next: retries, first steps, later steps, and rounds towards a quota.

A recipe's steps go one after the other: a step begins when the one before it has nothing more to
run, and a step that samples from a model of the recipe's own when that is trained.

Everything is decided from storage and config alone; planning the same state twice gives the
same round, and the publishing door lets only the first one count. Items are made as they are
published: a plan never stands in memory.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, count, islice, product

import pyarrow as pa
import pyarrow.compute as pc

from synth.calls.aio import check_wanted
from synth.curate.counting import AcceptedCount, Counting
from synth.curate.policy import load_policy
from synth.curate.supply import check_quota
from synth.errors import BadInput
from synth.quota import Tally, next_round
from synth.recipes.base import Before, ItemsFunction, Recipe, Step, Train
from synth.records import STUDENT, Cell, Item, Outcome, Seed, TraceRow
from synth.run import Run, without_guidelines
from synth.students import current_traces, model_ids
from synth.token_budget import ACCOUNT, phases, samples_for
from synth.workspace.plan import Lease, LeaseKind, Plan, lease_rows


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


def _concerns(run: Run) -> Callable[[LeaseKind, str, Iterable[str]], bool]:
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

    def concerns(kind: LeaseKind, student: str, guidelines: Iterable[str]) -> bool:
        name, index = kind
        steps = run.recipes[name].steps if name in run.recipes else ()
        step = steps[index] if index < len(steps) else None
        if not isinstance(step, Step) or (student and not step.student):
            return False
        if not {"", *run.guidelines} & {*guidelines}:
            return False
        return not student or not shared or student in students[name]

    return concerns


BATCH_ROWS = 4096  # items looked up in the plan at once


def plan_due(run: Run, counting: Counting | None = None) -> list[Lease]:
    """Publish what is due as a new round; return every lease that is owed.

    Args:
        run: The run.
        counting: Counts what is accepted; a quota needs it.
    """
    rows, rows_of = lease_rows(_most_rows(run)), _lease_rows(run)
    run.workspace.plan_more(lambda: due_items(run, counting), rows=rows, rows_of=rows_of)
    return owed_by(run)


def due_items(run: Run, counting: Counting | None = None) -> Iterator[Item]:
    """Yield the attempts to plan now, of items that are not planned yet or were interrupted."""
    planned = run.workspace.plan()
    retried = interrupted(run)
    open_recipes = _open_recipes(run, retried)
    later = _later_steps(run, planned, open_recipes)
    busy = open_recipes | later.keys()
    if run.config.accepted is not None:
        assert counting is not None, "a quota is counted"
        first = _towards_quota(run, planned, counting, busy)
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


def _lease_rows(run: Run) -> dict[LeaseKind, int]:
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
        check_wanted()
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


def _as_asked_for(run: Run, recipe: Recipe, rows: list[TraceRow]) -> list[TraceRow]:
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


def check_plannable(run: Run) -> None:
    """Check that there is something to plan: seeds, and guidelines for those who need them.

    Raises:
        BadInput: There is not.
    """
    if not run.train:
        rule = "leaves no training seed: raise seeds.limit, or lower seeds.eval_share"
        raise BadInput(file="config", field="seeds", value=run.config.seeds.path, rule=rule)
    for recipe in run.recipes.values():
        if not _sets(run, recipe):
            raise without_guidelines(recipe.name)


def check_reachable(run: Run) -> None:
    """Check that the run's quota, if it has one, can be met with its seeds and policy.

    Raises:
        BadInput: It can not.
    """
    if run.config.accepted is not None:
        policy = load_policy(run.config.curate.policy)
        recipes = {recipe.name: recipe for recipe in from_seeds(run)}
        check_quota(run.config.accepted, policy, recipes, run.train, run.evaluation_prompts)


def _towards_quota(
    run: Run, planned: Plan, counting: Counting, busy: Collection[str]
) -> Iterator[Item]:
    """Yield first items as long as too few are accepted, and the budget of them is not used up.

    Of a recipe whose later steps decide what is accepted, only when these have ended.
    """
    assert run.config.accepted is not None
    candidates = _candidates_planned(run)
    found = counting()
    waiting = {r.name for r in from_seeds(run) if r.name in busy and len(phases(r)[0]) > 1}
    tallies = {
        cell: tally
        for cell, tally in quota_tallies(run, found, candidates).items()
        if cell[0] not in waiting
    }
    budget = run.config.accepted.budget - candidates.total()
    for cell, wanted in sorted(next_round(tallies, budget).items()):
        items = _candidates(run, cell, found)
        yield from islice(_unplanned(items, planned, wanted), wanted)


def quota_tallies(
    run: Run, found: AcceptedCount, planned: Mapping[Cell, int] | None = None
) -> dict[Cell, Tally]:
    """Return how each cell of the quota stands.

    Args:
        run: The run.
        found: The newest count.
        planned: Candidates by cell, where those that are open matter.
    """
    assert run.config.accepted is not None
    tallies: dict[Cell, Tally] = {}
    for recipe, (label, category) in product(from_seeds(run), found.supply.cells):
        cell = (recipe.name, label, category)
        samples = found.samples.get(cell, ())
        ended = sum(part.ended for part in samples)
        tallies[cell] = Tally(
            target=min(run.config.accepted.per_category, found.supply.most(label, category)),
            samples=samples,
            open=max(0, (planned or {}).get(cell, ended) - ended),
        )
    return tallies


def barren_cells(run: Run, found: AcceptedCount) -> dict[Cell, int]:
    """Return the cells of a quota that get no more, and how many candidates in a row gave nothing.

    None without a quota.
    """
    tallies = quota_tallies(run, found) if run.config.accepted is not None else {}
    return {cell: tally.in_vain for cell, tally in tallies.items() if tally.barren}


def _candidates_planned(run: Run) -> Counter[Cell]:
    """Return the candidates of the run's recipes that are planned, ended ones among them."""
    planned: Counter[Cell] = Counter()
    names = pa.array([recipe.name for recipe in from_seeds(run)], pa.string())
    for table in run.workspace.candidates():
        ours = table.filter(pc.field("recipe").isin(names)).drop_columns("seed_id")
        for recipe, label, category, rows in zip(*ours.to_pydict().values(), strict=True):
            planned[recipe, label, category] += rows
    return planned


def _candidates(run: Run, cell: Cell, found: AcceptedCount) -> Iterator[Item]:
    """Yield the items of a cell: every seed once, then again, less those that have their rows."""
    name, label, category = cell
    recipe = run.recipes[name]
    for sample_index in count():
        at_end = True
        for guidelines in _sets(run, recipe):
            for seed in found.supply.seeds(label, category):
                if (name, seed.seed_id) not in found.full:
                    at_end = False
                    yield _first_item(recipe, guidelines, seed, sample_index)
        if at_end:
            return
