"""Where two judges of the same question differ: how often, and on which answers."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from synth.judges.base import UNDETERMINED
from train.evals.agreement import cohen_kappa
from train.evals.panel import Seat
from train.evals.rates import DIGITS, Json
from train.evals.records import RULES, Record

MOST_ROWS = 50  # listed of each pair, in the order of their ids


def disagreements(panel: Sequence[Seat], records: Sequence[Record]) -> list[Json]:
    """Return every pair of judges with the same classes, over the answers both have decided."""
    return [
        _pair(first.judge.name, second.judge.name, records)
        for first, second in combinations(panel, 2)
        if tuple(first.judge.classes) == tuple(second.judge.classes)
    ]


def _pair(first: str, second: str, records: Sequence[Record]) -> Json:
    both = list(_decided(first, second, records))
    unlike = sorted(row_id for row_id, one, other in both if one != other)
    kappa = cohen_kappa(*zip(*(pair[1:] for pair in both), strict=True)) if both else None
    return {
        "first": first,
        "second": second,
        "n": len(both),
        "agreement": round(1 - len(unlike) / len(both), DIGITS) if both else None,
        "kappa": None if kappa is None else round(kappa, DIGITS),
        "rows": unlike[:MOST_ROWS],
    }


def _decided(first: str, second: str, records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    for record in records:
        one, other = _said(record, first), _said(record, second)
        if UNDETERMINED not in (one, other):
            yield record.row_id, one, other


def _said(record: Record, judge: str) -> str:
    if judge == RULES:
        return record.verdict
    said = record.says(judge)
    return UNDETERMINED if said is None else said.verdict
