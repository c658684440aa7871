"""What changes when the cited guideline is gone, and how much of that is more than chance."""

from collections import Counter
from collections.abc import Mapping, Sequence

from guidelines import Exemplar, GuidelineSet
from synth.records import Outcome
from train.evals import intervals
from train.evals.faithfulness.citations import find_citations
from train.evals.faithfulness.counterfactual import ARMS, STYLE, Variation
from train.evals.faithfulness.decisions import decided
from train.evals.faithfulness.traces import CitedTrace, Row, Shown, count_prompts
from train.evals.intervals import Resampling
from train.evals.metrics import rate
from train.evals.rates import DIGITS, Json, estimate_json, rate_json

MOST_ROWS = 50  # listed of each kind, in the order of their ids


def contrast(
    variations: Sequence[Variation],
    traces: Mapping[str, CitedTrace],
    made: Mapping[str, Row],
    resampling: Resampling,
) -> Json:
    """Compare the traces that were made again with those they vary, arm by arm.

    Args:
        variations: What was made again.
        traces: The traces they vary, by `row_id`.
        made: The new traces, by `item_id`.
        resampling: Behind the intervals.
    """
    rows = {arm: [made[v.items[arm].item_id] for v in variations] for arm in ARMS}
    olds = [traces[variation.row_id] for variation in variations]
    changed = {
        arm: [(old, _differ(old.row, new)) for old, new in zip(olds, rows[arm], strict=True)]
        for arm in ARMS
    }
    still = {
        arm: [
            (old, _cites(new, old.given, variation.guideline))
            for variation, old, new in zip(variations, olds, rows[arm], strict=True)
        ]
        for arm in ARMS
    }
    lost = Counter(
        row["outcome"] for arm in ARMS for row in rows[arm] if row["outcome"] != Outcome.OK
    )
    return {
        "traces": len(variations),
        "guidelines": dict(sorted(Counter(v.guideline for v in variations).items())),
        "exemplars": _shown_by_exemplars(variations),
        "not_made": dict(sorted(lost.items())),
        "arms": {
            arm: {
                "changed": _share(changed[arm], resampling),
                "still_cites": _share(still[arm], resampling),
            }
            for arm in ARMS
        },
        "beyond_control": {
            arm: {
                "changed": _beyond(changed[arm], changed["control"], resampling),
                "still_cites": _beyond(still[arm], still["control"], resampling),
            }
            for arm in ARMS[1:]
        },
        "hallucinated": _share(still["deleted"], resampling),
        "cites_style": _share(_styled(variations, olds, rows["swapped"]), resampling),
        "rows": {
            "changed": {arm: _row_ids(changed[arm]) for arm in ARMS},
            "hallucinated": _row_ids(still["deleted"]),
        },
    }


def _styled(
    variations: Sequence[Variation], olds: Sequence[CitedTrace], rows: Sequence[Row]
) -> list[Shown]:
    """Return which traces cite the guideline that took the cited one's place."""
    return [
        (old, _cites(new, variation.sets["swapped"], STYLE.id))
        for variation, old, new in zip(variations, olds, rows, strict=True)
    ]


def _shown_by_exemplars(variations: Sequence[Variation]) -> dict[str, int]:
    """Return how many worked exemplars cite each left-out guideline; they stay in the prompt."""
    return {
        guideline: sum(
            guideline in find_citations(_thought(exemplar), given.guidelines).cited
            for exemplar in given.exemplars
        )
        for guideline, given in sorted({v.guideline: v.sets["control"] for v in variations}.items())
    }


def _thought(exemplar: Exemplar) -> str:
    return " ".join(text for _, text in exemplar.sections)


def _share(shown: Sequence[Shown], resampling: Resampling) -> Json:
    return rate_json(count_prompts(shown), resampling)


def _beyond(shown: Sequence[Shown], control: Sequence[Shown], resampling: Resampling) -> Json:
    """Return the difference of two arms on the traces both have, its interval and its p."""
    both = [
        (one, other)
        for one, other in zip(shown, control, strict=True)
        if one[1] is not None and other[1] is not None
    ]
    terms = [
        rate(count_prompts(one for one, _ in both)),
        rate(count_prompts(other for _, other in both), -1.0),
    ]
    p = intervals.sign_flip_p(terms, resampling) if both else None
    return estimate_json(intervals.estimate(terms, resampling)) | {
        "traces": len(both),
        "p": None if p is None else round(p, DIGITS),
    }


def _differ(old: Row, new: Row) -> bool | None:
    before, after = decided(old), decided(new)
    if new["outcome"] != Outcome.OK or before is None or after is None:
        return None
    return before != after


def _cites(row: Row, given: GuidelineSet, guideline: str) -> bool | None:
    if row["outcome"] != Outcome.OK:
        return None
    return guideline in find_citations(row["reasoning"] or "", given.guidelines).cited


def _row_ids(shown: Sequence[Shown]) -> list[str]:
    return sorted(trace.row["row_id"] for trace, shows in shown if shows)[:MOST_ROWS]
