"""A first look: a few rows from the real teacher, judged as curation would judge them.

They are made in a temporary workspace by the one scheduler; the run itself is not touched.
"""

import dataclasses
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

import pyarrow as pa

from synth.calls.aio import run_until_interrupted
from synth.checks.endpoints import check_abilities
from synth.curate import MEASURED, Dropped, load_policy
from synth.curate.local import decide_whole
from synth.measures import ensure_measures, read_measures
from synth.pools.layout import chats_of
from synth.recipes import Recipe
from synth.records import LABELS, Item, Seed
from synth.rounds import due_items, makes_items, owed_by
from synth.run import Run
from synth.synthesize import RunOptions, make_work, next_session, open_pools, work_through
from synth.workspace.plan import Lease
from synth.workspace.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    """One trace and what would become of it.

    Attributes:
        trace: The trace, as the `TRACES` schema has it.
        verdicts: What each measure says, as `verdict (value)`; empty for a lost row.
        dropped: Why it would be dropped when looked at alone, or None: it would be kept,
            unless a better sibling, a near-duplicate or the balance stands against it.
    """

    trace: Mapping[str, Any]
    verdicts: Mapping[str, str]
    dropped: Dropped | None


def preview(run: Run, rows: int = 5, options: RunOptions | None = None) -> list[PreviewRow]:
    """Generate and judge a few rows, of all labels and recipes in turn.

    Args:
        run: The run to look at.
        rows: Traces' number; recipes of several steps add their later ones.
        options: Hears the numbers.

    Raises:
        BadInput: The configuration, or something it names, is unusable.
    """
    with tempfile.TemporaryDirectory(prefix="guideweave-preview-") as folder:
        small = _small(run, folder)
        items = list(islice(_items(small), rows))
        run_until_interrupted(_generate(small, items, options or RunOptions()))
        found = _judge(small)
    # The rows of one prompt side by side, whatever lease they were in.
    turn = {item.seed.seed_id: index for index, item in reversed(list(enumerate(items)))}
    place = {recipe: index for index, recipe in enumerate(run.recipes)}

    def order(row: PreviewRow) -> tuple[int, int, int]:
        trace = row.trace
        # A recipe's own prompts come after the run's.
        return turn.get(trace["seed_id"], len(turn)), place[trace["recipe"]], trace["step"]

    return sorted(found, key=order)


def _small(run: Run, folder: str) -> Run:
    """Return the run with one sample a seed, one worker, and another directory."""
    limits = run.config.limits
    few = limits.model_copy(update={"workers": 0 if limits.workers == 0 else 1})
    alone = {"run": folder, "traces": None}
    changes = alone | {"samples": 1, "tokens": None, "accepted": None, "limits": few}
    config = run.config.model_copy(update=changes)
    return dataclasses.replace(run, config=config, workspace=Workspace(folder))


def _items(run: Run) -> Iterator[Item]:
    """Yield first items: each seed under every recipe, the labels in turn."""
    for seed in _mixed(run.train):
        for recipe in run.recipes.values():
            for guidelines in _sets(run, recipe):
                yield Item(seed=seed, recipe=recipe.name, guidelines=guidelines)


def _sets(run: Run, recipe: Recipe) -> list[str]:
    return list(run.guidelines) if recipe.guided else [""]


def _mixed(seeds: Sequence[Seed]) -> Iterator[Seed]:
    """Yield seeds so that labels, and within a label categories, take turns."""
    labels = (
        _in_turn([seed for seed in seeds if seed.label == label], "category") for label in LABELS
    )
    for turn in zip_longest(*labels):
        yield from (seed for seed in turn if seed is not None)


def _in_turn(seeds: Sequence[Seed], field: str) -> Iterator[Seed]:
    groups: defaultdict[str, list[Seed]] = defaultdict(list)
    for seed in seeds:
        groups[getattr(seed, field)].append(seed)
    for turn in zip_longest(*groups.values()):
        yield from (seed for seed in turn if seed is not None)


async def _generate(run: Run, items: list[Item], options: RunOptions) -> None:
    """Run `items`, and the steps that follow without a training, to their traces."""
    _plan(run, items)
    while (session := next_session(run, owed_by(run))) is not None:
        roles = ", ".join(sorted(session.roles))
        log.info("starting %s; a model's first start takes a minute or so", roles)
        check_abilities(run, chats_of(session.pools))
        work = make_work(run, session.pools, "preview")
        async with open_pools(run.config, session.pools):
            leases: Sequence[Lease] = session.leases
            while leases:
                await work_through(run.config, work, leases, "preview", options)
                _plan(run, items)
                leases = session.able(run, owed_by(run))


def _plan(run: Run, items: list[Item]) -> None:
    """Plan what is due of the chosen first items and what follows, as many a step as they are."""
    chosen = {item.item_id for item in items}
    taken = Counter(
        lease.kind for lease in run.workspace.plan().leases for _ in range(lease.num_rows)
    )
    due: list[Item] = []
    for item in due_items(run, None):
        kind = (item.recipe, item.step)
        from_seeds = makes_items(run.recipes[item.recipe].steps[item.step]) is None
        if item.item_id in chosen if from_seeds else taken[kind] < len(items):
            taken[kind] += 1
            due.append(item)
    if due:
        run.workspace.publish(due)


def _judge(run: Run) -> list[PreviewRow]:
    """Measure the traces and decide about each by itself."""
    sets = list(run.guidelines.values())
    revisions = ensure_measures(run.workspace, MEASURED, sets)
    measures = {name: read_measures(run.workspace, name, revisions[name]) for name in MEASURED}
    traces = run.workspace.traces()
    policy = load_policy(run.config.curate.policy)
    decided = decide_whole(traces, measures, policy, run.recipes)
    verdicts = _verdicts(measures)
    return [
        PreviewRow(trace=trace, verdicts=verdicts.get(trace["row_id"], {}), dropped=dropped)
        for trace, (_, dropped) in zip(traces.to_pylist(), decided, strict=True)
    ]


def _verdicts(measures: Mapping[str, pa.Table]) -> dict[str, dict[str, str]]:
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, table in measures.items():
        for row in table.to_pylist():
            value = "" if row["value"] is None else f" ({row['value']:.3g})"
            found[row["row_id"]][name] = f"{row['verdict']}{value}"
    return dict(found)
