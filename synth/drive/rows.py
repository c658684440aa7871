"""From the traces of one try to rows of the `TRACES` schema, and their footer's counts."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from synth.calls.metering import Meter
from synth.calls.usage import total_usage
from synth.records import SCHEMA_VERSION, Item, Outcome, Trace, pack_context, row_id
from synth.workspace.leases import LeaseCounts

Row = dict[str, Any]
USAGE = "usage"  # of a try, on its first row, for the footer: no column of the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What every row of a drive has in common.

    Attributes:
        teacher: Name of the generating model.
        sampling: The run's own sampling, as JSON.
        fingerprint: Digest of what changes a row's text.
    """

    teacher: str
    sampling: str
    fingerprint: str


def trace_rows(
    item: Item,
    traces: Sequence[Trace],
    meter: Meter,
    provenance: Provenance,
    guideline_ids: Sequence[str],
) -> list[Row]:
    """Return one row a trace. The item's account stands on the first, so that sums stay true."""
    counted = not any(used.uncounted for used in meter.usage.values())
    read = sum(used.prompt_tokens for used in meter.usage.values())
    account: Row = {
        "prompt_tokens": read if counted else None,
        "output_tokens": meter.output_tokens if counted else None,
        "latency_s": time.monotonic() - meter.started_at,
        "calls": meter.calls,
    }
    base = _base(item, provenance, guideline_ids)
    rows = []
    for index, trace in enumerate(traces):
        rows.append(
            base
            | (account if index == 0 else dict.fromkeys(account, 0))
            | {
                "row_id": row_id(item.item_id, index),
                "trace_index": index,
                "parents": list(trace.parents or item.parents),
                "outcome": str(trace.outcome),
                "teacher": trace.teacher or provenance.teacher,
                "error": None,
                "reasoning": trace.reasoning,
                "answer": trace.answer,
                "raw": trace.raw,
                "payload": json.dumps(dict(trace.payload), ensure_ascii=False, sort_keys=True),
            }
        )
    rows[0][USAGE] = meter.usage
    return rows


def lost_row(
    item: Item,
    outcome: Outcome,
    error: str,
    meter: Meter,
    provenance: Provenance,
    guideline_ids: Sequence[str],
) -> Row:
    """Return the one row of a try that made no trace: its outcome and why."""
    trace = Trace(reasoning="", answer="", raw=meter.last_raw, outcome=outcome)
    [row] = trace_rows(item, [trace], meter, provenance, guideline_ids)
    return row | {"error": error}


def count_lease(rows: Sequence[Row], seconds: float) -> LeaseCounts:
    """Return the footer's counts of a lease's rows."""
    keys = ("recipe", "label", "category", "outcome")
    usage = total_usage(row[USAGE] for row in rows if USAGE in row)
    return LeaseCounts(
        rows=len(rows),
        by=dict(Counter("/".join(str(row[key]) for key in keys) for row in rows)),
        retried=sum(row["try"] > 0 for row in rows),
        output_tokens=sum(row["output_tokens"] or 0 for row in rows),
        calls=sum(row["calls"] for row in rows),
        usage={role: asdict(used) for role, used in usage.items()},
        seconds=round(seconds, 3),
    )


def _base(item: Item, provenance: Provenance, guideline_ids: Sequence[str]) -> Row:
    seed = item.seed
    return {
        "item_id": item.item_id,
        "try": item.attempt,
        "step": item.step,
        "seed_id": seed.seed_id,
        "prompt": seed.prompt,
        "context": pack_context(seed.context),
        "label": seed.label,
        "category": seed.category,
        "source": seed.source,
        "pair": seed.pair,
        "recipe": item.recipe,
        "guideline_ids": list(guideline_ids),
        "sample_index": item.sample_index,
        "round": item.round,
        "teacher": provenance.teacher,
        "sampling": provenance.sampling,
        "fingerprint": provenance.fingerprint,
        "schema_version": SCHEMA_VERSION,
    }
