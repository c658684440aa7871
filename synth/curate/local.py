"""Joining traces with their measures, and deciding each by itself."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from synth.curate.policy import Policy
from synth.curate.rules import Dropped, Facts, decide
from synth.records import Outcome

MEASURED = ("sections", "consistency", "leakage", "length", "repetition", "refusal")

COLUMNS = ("row_id", "recipe", "outcome", "error")

BATCH_ROWS = 64 * 1024


def accept(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    formats: Mapping[str, str],
) -> pa.Array:
    """Return each trace's reason to be dropped, looked at alone; null for those to keep.

    Args:
        traces: Columns `COLUMNS` at least.
        measures: Judgements of every measure in `MEASURED`, by its name.
        policy: The rules.
        formats: Recipe to `think` or `answer`.
    """
    dropped = (decide(facts, policy) for facts in read_facts(traces, measures, formats))
    return pa.array((d.reason.value if d else None for d in dropped), pa.string())


def decide_all(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    formats: Mapping[str, str],
) -> Iterator[tuple[Facts, Dropped | None]]:
    """Yield what is known of each trace and what the rules make of it."""
    for facts in read_facts(traces, measures, formats):
        yield facts, decide(facts, policy)


def read_facts(
    traces: pa.Table, measures: Mapping[str, pa.Table], formats: Mapping[str, str]
) -> Iterator[Facts]:
    """Yield the facts of every trace, in the order of `traces`.

    Raises:
        LookupError: An `ok` trace has not been judged by one of the measures.
    """
    joined = _join(traces.select(COLUMNS), measures)
    for batch in joined.to_batches(max_chunksize=BATCH_ROWS):
        for row in batch.to_pylist():
            yield _facts(row, formats)


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


def _facts(row: Mapping[str, Any], formats: Mapping[str, str]) -> Facts:
    if row["outcome"] != Outcome.OK:
        return Facts(outcome=row["outcome"], error=row["error"] or "")
    for name in MEASURED:
        if row[f"{name}.verdict"] is None:
            raise LookupError(f"trace {row['row_id']} has not been judged by {name}")
    lengths = json.loads(row["length.raw"])
    return Facts(
        outcome=row["outcome"],
        has_reasoning=formats[row["recipe"]] == "think",
        sections=row["sections.verdict"],
        consistency=row["consistency.verdict"],
        leakage=row["leakage.verdict"],
        repetition=row["repetition.verdict"],
        leak_overlap=row["leakage.value"],
        repeated_share=row["repetition.value"],
        garbled=row["refusal.value"] > 0,
        reasoning_words=lengths["reasoning"],
        answer_words=lengths["answer"],
    )
