"""What the manifest counts.

Every trace ends in exactly one place, and is counted there, by arm: `accepted` (a supervised row,
whether in pairs or not), `paired` (in a preference pair and no supervised row), or `drops`
(neither; `drops.parquet` holds these, each with its reason). `synth/curate/arms.py` says which
traces may be what. The acceptance of a label and category is that of the supervised steps'
traces.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth.curate.arms import Arm
from synth.curate.preference import Preferences, TrainingPairs
from synth.curate.select import Selection

FACET = ("recipe", "label", "category")
Facet = tuple[str, str, str]


def counts(
    selection: Selection, preferences: Preferences, arms: Mapping[str, Arm]
) -> dict[str, Any]:
    """Return the counts of traces and pairs, as the manifest has them."""
    accepted, drops = selection.accepted, selection.drops
    kept, paired = count(accepted, "recipe"), count(selection.only_paired, "recipe")
    return {
        "accepted": {arm: kept[(arm,)] for arm in arms},
        "paired": {arm: paired[(arm,)] for arm in arms},
        "pairs": _by_training(arms, preferences, lambda pairs: pairs.kinds),
        "contaminated_pairs": _by_training(arms, preferences, lambda pairs: pairs.left_out),
        "outcomes": {arm: _tally(selection.traces, "recipe", "outcome", arm) for arm in arms},
        "drops": {arm: _tally(drops, "arm", "reason", arm) for arm in arms},
        "drops_by_step": _drops_by_step(drops),
        "acceptance": _acceptance(_candidates(selection.traces, arms), accepted),
    }


def count(table: pa.Table, *columns: str) -> Counter[Any]:
    """Return rows by their values of some columns."""
    counted = table.group_by(list(columns)).aggregate([([], "count_all")]).to_pydict()
    rows = counted.pop("count_all")
    return Counter(dict(zip(zip(*counted.values(), strict=True), rows, strict=True)))


def _tally(table: pa.Table, by: str, column: str, arm: str) -> dict[str, int]:
    found = count(table, by, column)
    return {value: rows for (each, value), rows in sorted(found.items()) if each == arm}


def _by_training(
    arms: Iterable[str], preferences: Preferences, told: Callable[[TrainingPairs], Any]
) -> dict[str, dict[str, Any]]:
    """Return what is told of every training on pairs, by arm."""
    found: dict[str, dict[str, Any]] = {arm: {} for arm in arms}
    for each in preferences.trainings:
        found[each.arm][each.training] = told(each)
    return found


def _drops_by_step(drops: pa.Table) -> list[dict[str, Any]]:
    """Return how many traces of every arm and step each reason dropped."""
    return [
        {"arm": arm, "step": step, "reason": reason, "rows": rows}
        for (arm, step, reason), rows in sorted(count(drops, "arm", "step", "reason").items())
    ]


def _candidates(traces: pa.Table, arms: Mapping[str, Arm]) -> pa.Table:
    """Return the traces of the supervised steps, whatever became of them."""
    of_steps = (
        traces.filter((pc.field("recipe") == name) & (pc.field("step") == arm.supervised))
        for name, arm in arms.items()
        if arm.supervised is not None
    )
    return pa.concat_tables([traces.schema.empty_table(), *of_steps])


def _acceptance(candidates: pa.Table, accepted: pa.Table) -> list[dict[str, Any]]:
    """Return candidates and accepted ones of every arm, label and category."""
    kept = count(accepted, *FACET)
    return [
        {
            "arm": arm,
            "label": label,
            "category": category,
            "traces": total,
            "accepted": kept[arm, label, category],
        }
        for (arm, label, category), total in sorted(count(candidates, *FACET).items())
    ]
