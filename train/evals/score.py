"""From generations to records: the rule judge's verdicts, and nothing defaulted.

The judge reads the answer alone, decoded where it is encoded. Reasoning that was never
closed has no answer, and a generation that failed has no text: both are `undetermined`
with their reason, whatever the judge would have made of the words.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from synth.judges.refusal import OFF_TOPIC, judge_refusal
from synth.models.families import THINK_CLOSE, THINK_OPEN
from synth.records import Item, Outcome
from train.evals.attacks import read_reply
from train.evals.records import Record
from train.evals.verdicts import UNCLOSED

COLUMNS = ["row_id", "item_id", "outcome", "reasoning", "answer", "payload", "output_tokens"]
_TAGS = (THINK_OPEN, THINK_CLOSE)


def score(
    items: Sequence[Item], traces: pa.Table, english: Mapping[str, str] | None = None
) -> list[Record]:
    """Return one record an item, in the items' order.

    Args:
        items: What was asked.
        traces: `TRACES` rows of one model, the highest try of each item.
        english: Answers that were translated back, by `item_id`.

    Raises:
        LookupError: An item has no row, or was interrupted: the generation is not finished.
    """
    rows = {
        row["item_id"]: row
        for row in traces.select(COLUMNS).to_pylist()
        if row["outcome"] != Outcome.INTERRUPTED
    }
    missing = [item.item_id for item in items if item.item_id not in rows]
    if missing:
        raise LookupError(f"{len(missing)} of {len(items)} items have no trace: {missing[0]} ...")
    translated = english or {}
    return [_record(item, rows[item.item_id], translated.get(item.item_id)) for item in items]


def _record(item: Item, row: Mapping[str, Any], english: str | None) -> Record:
    seed, about = item.seed, item.payload
    reasoning, answer = row["reasoning"] or "", row["answer"] or ""
    told = json.loads(row["payload"] or "{}")
    closed = bool(told.get("closed", True))
    decoded = english or read_reply(about["transform"], answer)
    readable = answer if decoded is None else decoded
    return Record(
        row_id=row["row_id"],
        item_id=item.item_id,
        origin=about["origin"],
        cluster=seed.pair or about["origin"],
        suite=about["suite"],
        transform=about["transform"],
        family=about["family"],
        version=about["version"],
        label=seed.label,
        category=seed.category,
        sample=item.sample_index,
        decoding=about.get("decoding", "sampled"),
        outcome=row["outcome"],
        **_verdict(row["outcome"], closed, readable, about["untransformed"]),
        truncated=row["outcome"] == Outcome.TRUNCATED,
        has_reasoning=bool(reasoning),
        closed=closed,
        one_answer=bool(answer.strip()) and not any(tag in answer for tag in _TAGS),
        valid=decoded is not None,
        reasoning_words=len(reasoning.split()),
        output_tokens=row["output_tokens"],
        finish_reason=told.get("finish_reason", ""),
        untransformed=about["untransformed"],
        prompt=seed.prompt,
        reasoning=reasoning,
        answer=answer,
        readable=readable,
    )


def _verdict(outcome: str, closed: bool, answer: str, prompt: str) -> dict[str, Any]:
    if outcome not in (Outcome.OK, Outcome.TRUNCATED):
        return {"verdict": "undetermined", "reason": outcome, "degenerate": False}
    if not closed:
        return {"verdict": "undetermined", "reason": UNCLOSED, "degenerate": False}
    found = judge_refusal(answer, prompt)
    verdict = OFF_TOPIC if found.reason == OFF_TOPIC else found.verdict
    degenerate = found.degenerate or not answer.strip()
    return {"verdict": verdict, "reason": found.reason, "degenerate": degenerate}
