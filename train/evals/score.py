"""From generations to records: the rule judge's verdicts, and nothing defaulted.

The judge reads the answer alone, decoded where it is encoded. Reasoning that was never
closed has no answer, and a generation that failed has no text: both are `undetermined`
with their reason, whatever the judge would have made of the words.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from synth.families import FAMILIES
from synth.judges.refusal import judge_refusal
from synth.records import Item, Outcome
from train.evals.language import looks_like_language
from train.evals.records import Record
from train.evals.transforms import PLAIN, TRANSFORMS

UNCLOSED = "unclosed_reasoning"
_TAGS = (FAMILIES["generic"].think_open, FAMILIES["generic"].think_close)


def score(items: Sequence[Item], traces: pa.Table) -> list[Record]:
    """Return one record an item, in the items' order.

    Args:
        items: What was asked.
        traces: `TRACES` rows of one model, the highest try of each item.

    Raises:
        LookupError: An item has no row, or was interrupted: the generation is not finished.
    """
    rows = {
        row["item_id"]: row for row in traces.to_pylist() if row["outcome"] != Outcome.INTERRUPTED
    }
    missing = [item.item_id for item in items if item.item_id not in rows]
    if missing:
        raise LookupError(f"{len(missing)} of {len(items)} items have no trace: {missing[0]} ...")
    return [_record(item, rows[item.item_id]) for item in items]


def _record(item: Item, row: Mapping[str, Any]) -> Record:
    seed, about = item.seed, item.payload
    reasoning, answer = row["reasoning"] or "", row["answer"] or ""
    closed = bool(json.loads(row["payload"] or "{}").get("closed", True))
    readable = _decoded(about["transform"], answer)
    verdict = _verdict(row["outcome"], closed, answer if readable is None else readable)
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
        outcome=row["outcome"],
        **verdict,
        truncated=row["outcome"] == Outcome.TRUNCATED,
        has_reasoning=bool(reasoning),
        closed=closed,
        one_answer=bool(answer.strip()) and not any(tag in answer for tag in _TAGS),
        valid=readable is not None,
        reasoning_words=len(reasoning.split()),
        output_tokens=row["output_tokens"] or 0,
        prompt=seed.prompt,
        reasoning=reasoning,
        answer=answer,
    )


def _decoded(transform: str, answer: str) -> str | None:
    if transform == PLAIN:
        return answer if looks_like_language(answer) else None
    return TRANSFORMS[transform].decode(answer)


def _verdict(outcome: str, closed: bool, answer: str) -> dict[str, Any]:
    if outcome not in (Outcome.OK, Outcome.TRUNCATED):
        return {"verdict": "undetermined", "reason": outcome, "degenerate": False}
    if not closed:
        return {"verdict": "undetermined", "reason": UNCLOSED, "degenerate": False}
    found = judge_refusal(answer)
    degenerate = found.degenerate or not answer.strip()
    return {"verdict": found.verdict, "reason": found.reason, "degenerate": degenerate}
