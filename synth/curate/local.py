"""Joining traces with their measures, and deciding each by itself."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from synth.curate.arms import Arm, make_arms
from synth.curate.closer import Looks, look_closer, looked_into
from synth.curate.policy import Policy
from synth.curate.rules import NOTHING_EXCLUDED, Drop, Dropped, Facts, decide
from synth.recipes.base import Recipe
from synth.records import Outcome

MEASURED = ("sections", "consistency", "leakage", "length", "repetition", "refusal")

COLUMNS = ("row_id", "recipe", "step", "outcome", "error")

BATCH_ROWS = 64 * 1024


def accept(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    recipes: Mapping[str, Recipe],
) -> pa.Array:
    """Return each trace's reason to be no supervised row, looked at alone; null for one to keep.

    Args:
        traces: All columns.
        measures: Judgements of every measure in `MEASURED`, by its name.
        policy: The rules.
        recipes: By name; those of all traces.
    """
    dropped = (drop for _, drop in decide_whole(traces, measures, policy, recipes))
    return pa.array((d.reason.value if d else None for d in dropped), pa.string())


def decide_whole(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    recipes: Mapping[str, Recipe],
) -> Iterator[tuple[Facts, Dropped | None]]:
    """Do as `decide_all` for traces that are all in memory, with all their columns."""
    arms = make_arms(recipes, [traces])
    looks = look_closer(traces, looked_into(arms, policy), policy)
    return decide_all(traces, measures, policy, arms, looks)


def decide_all(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    arms: Mapping[str, Arm],
    looks: Looks,
    excluded: Mapping[str, Drop] = NOTHING_EXCLUDED,
) -> Iterator[tuple[Facts, Dropped | None]]:
    """Yield what is known of each trace and what the rules make of it, in the order of `traces`.

    Args:
        traces: Columns `COLUMNS` at least.
        measures: Judgements of every measure in `MEASURED`, by its name.
        policy: The rules.
        arms: By name; those of all traces.
        looks: What a closer look told, where one was due.
        excluded: `row_id` of traces that cannot be used, and why.

    Raises:
        LookupError: A trace that may be a supervised row has not been judged by a measure.
    """
    joined = _join(traces.select(COLUMNS), measures)
    for batch in joined.to_batches(max_chunksize=BATCH_ROWS):
        for row in batch.to_pylist():
            facts = _facts(row, arms[row["recipe"]], looks, excluded.get(row["row_id"]))
            yield facts, decide(facts, policy)


def _join(traces: pa.Table, measures: Mapping[str, pa.Table]) -> pa.Table:
    """Put each measure's judgements beside the traces, as `<measure>.<field>`."""
    row_ids = traces["row_id"].to_pylist()
    for name in MEASURED:
        judgements = measures[name]
        places = {row_id: i for i, row_id in enumerate(judgements["row_id"].to_pylist())}
        at = pa.array([places.get(row_id) for row_id in row_ids], pa.int64())
        for field in ("value", "verdict", "raw"):
            if field != "raw" or name == "length":
                traces = traces.append_column(f"{name}.{field}", judgements[field].take(at))
    return traces


def _facts(row: Mapping[str, Any], arm: Arm, looks: Looks, excluded: Drop | None) -> Facts:
    """Return what is known; of a trace that is no supervised row, not what the measures say."""
    elsewhere = arm.elsewhere(row["step"])
    if excluded or row["outcome"] != Outcome.OK or elsewhere:
        error = row["error"] or ""
        return Facts(outcome=row["outcome"], error=error, excluded=excluded, elsewhere=elsewhere)
    for name in MEASURED:
        if row[f"{name}.verdict"] is None:
            raise LookupError(f"trace {row['row_id']} has not been judged by {name}")
    lengths, look = json.loads(row["length.raw"]), looks.get(row["row_id"])
    chosen_words = look.reasoning_words if look else None
    return Facts(
        outcome=row["outcome"],
        rejected=look.rejected if look else "",
        has_reasoning=arm.recipe.format != "answer",
        sections=row["sections.verdict"],
        consistency=row["consistency.verdict"],
        leakage=row["leakage.verdict"],
        repetition=row["repetition.verdict"],
        leak_overlap=row["leakage.value"],
        repeated_share=row["repetition.value"],
        garbled=row["refusal.value"] > 0,
        reasoning_words=lengths["reasoning"] if chosen_words is None else chosen_words,
        answer_words=lengths["answer"],
    )
