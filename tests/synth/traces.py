"""Makers of finished traces, for what looks at them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from guidelines import Guideline, GuidelineSet
from synth import storage
from synth.records import TRACES, digest, row_id
from synth.workspace.leases import LeaseCounts, publish_lease
from synth.workspace.plan import PLAN, list_rounds, round_path

GUIDELINE_TEXT = (
    "Name who could be hurt if you answered fully: the person asking, someone they know, "
    "strangers, or the public."
)

GUIDELINES = GuidelineSet(
    name="test",
    version=1,
    guidelines=(Guideline("harm", "Who could be harmed", 1, GUIDELINE_TEXT),),
    exemplars=(),
    digest="d" * 64,
)

THOUGHT = (
    "The question is about a kitchen and nothing in it points elsewhere. Nobody would come to "
    "grief over a plain reply, apart from a hot pan. So I will help."
)
REFUSING = "I can't help with that. If you are worried about something, I can tell you who to ask."
HELPING = "Heat the pan first, then add a little butter and the eggs, and stir until they set."


def make_trace(
    prompt: str = "How do I scramble eggs?",
    *,
    label: str = "benign",
    decision: str | None = "help",
    payload: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return one row of `TRACES`; by default a benign prompt that is helped with."""
    recipe = fields.get("recipe", "srg")
    seed_id = fields.get("seed_id", digest([], prompt))
    step, sample = fields.get("step", 0), fields.get("sample_index", 0)
    item_id = digest(seed_id, recipe, step, sample)
    told = payload if payload is not None else ({"decision": decision} if decision else {})
    row: dict[str, Any] = {
        "row_id": row_id(item_id, 0),
        "item_id": item_id,
        "try": 0,
        "step": step,
        "trace_index": 0,
        "parents": [],
        "seed_id": seed_id,
        "prompt": prompt,
        "context": None,
        "label": label,
        "category": "cooking",
        "source": "test",
        "pair": None,
        "recipe": recipe,
        "guideline_ids": ["harm"],
        "sample_index": sample,
        "round": 0,
        "outcome": "ok",
        "error": None,
        "reasoning": THOUGHT,
        "answer": REFUSING if label == "harmful" else HELPING,
        "raw": "",
        "payload": json.dumps(told),
        "teacher": "scripted",
        "sampling": "{}",
        "fingerprint": "f",
        "prompt_tokens": 1,
        "output_tokens": 1,
        "latency_s": 0.1,
        "calls": 1,
        "schema_version": 1,
    }
    return row | fields


def make_refused(prompt: str, **fields: Any) -> dict[str, Any]:
    """Return the row of a harmful prompt that is declined."""
    return make_trace(prompt, label="harmful", decision="decline", **fields)


def make_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), TRACES)


def publish_traces(
    workspace: str, rows: Sequence[Mapping[str, Any]], lease_rows: int = 4
) -> list[str]:
    """Publish `rows` as the finished leases of a round, in their order; return the names."""
    names = []
    planned: list[dict[str, Any]] = []
    for start in range(0, len(rows), lease_rows):
        part = rows[start : start + lease_rows]
        name = digest([[row["item_id"], row["try"]] for row in part])
        outcomes = Counter(f"{row['recipe']}/{row['label']}/x/{row['outcome']}" for row in part)
        retried = sum(row["try"] > 0 for row in part)
        counts = LeaseCounts(rows=len(part), by=dict(outcomes), retried=retried)
        publish_lease(workspace, name, make_table(part), counts)
        planned += [{**row, "lease": name, "guidelines": ""} for row in part]
        names.append(name)
    if planned:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(planned, PLAN), sink)
        index = len(list_rounds(workspace))
        storage.publish(round_path(workspace, index), sink.getvalue().to_pybytes())
    return names
