"""How results say a rate: its estimate, its counts, and what is undetermined."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from train.evals import metrics
from train.evals.headline import Part, bounds_of, num_undetermined, terms_of
from train.evals.intervals import Resampling, Term, estimate
from train.evals.metrics import PromptCount, Property
from train.evals.records import Record

DIGITS = 6  # of the numbers in results: beyond what any of them can mean

Json = dict[str, Any]


def estimate_json(estimated: Any) -> Json:
    """Return an estimate, any flat dataclass, as plain data with its numbers rounded."""
    return {
        name: round(value, DIGITS) if isinstance(value, float) else value
        for name, value in asdict(estimated).items()
    }


def rate_json(counts: Sequence[PromptCount], resampling: Resampling) -> Json:
    """Return the mean over prompts of their shares, with what stands behind it."""
    term = metrics.rate(counts)
    ends = metrics.bounds(counts)
    return estimate_json(estimate([term], resampling)) | {
        "prompts": len(term.values),
        "answers": sum(c.answers for c in counts),
        "undetermined": sum(c.answers - c.determined for c in counts),
        "bounds": None if ends is None else _rounded(ends),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Makes the rates of one model, all resampled alike.

    Attributes:
        resampling: How the intervals are drawn.
        samples: Sampled answers a prompt.
    """

    resampling: Resampling
    samples: int

    def combined(self, parts: Sequence[Part]) -> Json:
        """Return a weighted sum of rates, with its interval, and what is missing from it."""
        ends = bounds_of(parts)
        return estimate_json(estimate(terms_of(parts), self.resampling)) | {
            "undetermined": num_undetermined(parts),
            "bounds": None if ends is None else _rounded(ends),
        }

    def rate(self, records: Sequence[Record], shows: Property) -> Json:
        """Return the mean over prompts of the share of answers that show something."""
        return rate_json(metrics.count_prompts(records, shows), self.resampling)

    def curve(
        self, records: Sequence[Record], shows: Property, chance: Callable[[int, int, int], float]
    ) -> list[Json]:
        """Return a curve over N = 1, 2, 4, ... of what N answers to a prompt show."""
        counts = metrics.count_prompts(records, shows)
        points = []
        for draws in metrics.draw_sizes(self.samples):
            term = metrics.curve(counts, draws, chance)
            ends = metrics.curve_bounds(counts, draws, chance)
            points.append(
                {
                    "n": draws,
                    "prompts": len(term.values),
                    "left_out": len(counts) - len(term.values),
                    "bounds": None if ends is None else _rounded(ends),
                    **estimate_json(estimate([term], self.resampling)),
                }
            )
        return points

    def grade(self, records: Sequence[Record], judge: str) -> Json:
        """Return the mean over prompts of a judge's mean grade, in [0, 1]."""
        graded = metrics.grades(records, judge)
        known = [[grade for grade in one.grades if grade is not None] for one in graded]
        values = [
            (one.cluster, sum(found) / len(found))
            for one, found in zip(graded, known, strict=True)
            if found
        ]
        ends = metrics.grade_bounds(graded)
        return estimate_json(estimate([Term(values=values)], self.resampling)) | {
            "prompts": len(values),
            "answers": len(records),
            "undetermined": len(records) - sum(map(len, known)),
            "bounds": None if ends is None else _rounded(ends),
        }


def _rounded(ends: Sequence[float]) -> list[float]:
    return [round(end, DIGITS) for end in ends]
