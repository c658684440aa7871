"""Intervals of the analysis: over resampled clusters, as everywhere in the evaluation.

They say how much a number would move with other prompts of the kind looked at. What was fitted
(axis, probe) is taken as it is.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from train.evals.intervals import (
    LEVEL,
    NOTHING,
    Estimate,
    Resampling,
    Term,
    bootstrap,
    estimate,
    wilson,
)
from train.evals.representation.prompts import Floats, Ints, Mask

_TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
_METHOD = "cluster bootstrap"
_NO_WIDTH = 1e-12


def mean_estimate(values: Floats, clusters: Sequence[str], resampling: Resampling) -> Estimate:
    """Return the mean of real values; one cluster alone has no interval."""
    if not len(values):
        return NOTHING
    term = Term(values=list(zip(clusters, values.tolist(), strict=True)))
    if len(set(clusters)) < 2:
        return Estimate(value=term.mean, low=None, high=None, method="none")
    low, high = np.quantile(bootstrap([term], resampling), _TAILS)
    return Estimate(value=term.mean, low=float(low), high=float(high), method=_METHOD)


def balanced_accuracy(
    right: Mask, labels: Mask, clusters: Sequence[str], resampling: Resampling
) -> Estimate:
    """Return the mean of the two classes' shares of right answers."""
    terms = [
        Term(
            values=[
                (cluster, float(ok))
                for cluster, ok, label in zip(clusters, right, labels, strict=True)
                if label == wanted
            ],
            weight=0.5,
        )
        for wanted in (True, False)
    ]
    return estimate(terms, resampling)


def auc(scores: Floats, labels: Mask, folds: Ints) -> float | None:
    """Return how often a positive prompt scores above a negative one, ties counting half.

    Only prompts of one fold are compared: scores of two fits have no common scale.
    """
    above, pairs = _compared(scores, labels, folds)
    return float(above.sum() / pairs.sum()) if pairs.any() else None


def auc_estimate(
    scores: Floats, labels: Mask, folds: Ints, clusters: Sequence[str], resampling: Resampling
) -> Estimate:
    """Return the `auc` with its interval.

    Where no resample differs from another, as where all prompts are in order, the interval is
    Wilson's for as many prompts as the smaller class has: each can be in order or not.
    """
    value = auc(scores, labels, folds)
    if value is None:
        return NOTHING
    drawn = _weights(tuple(clusters), resampling)
    wins, pairs = (
        ((drawn @ kind) * drawn).sum(axis=1) for kind in _compared(scores, labels, folds)
    )
    found = wins[pairs > 0] / pairs[pairs > 0]
    if np.ptp(found) <= _NO_WIDTH:
        low, high = wilson(value, int(min(labels.sum(), (~labels).sum())))
        return Estimate(value=value, low=low, high=high, method="wilson")
    low, high = np.quantile(found, _TAILS)
    return Estimate(value=value, low=float(low), high=float(high), method=_METHOD)


def _compared(scores: Floats, labels: Mask, folds: Ints) -> tuple[Floats, Floats]:
    """Return which pairs of prompts are in order, and which are compared at all."""
    pairs = labels[:, None] & ~labels[None, :] & (folds[:, None] == folds[None, :])
    above = np.heaviside(scores[:, None] - scores[None, :], 0.5)
    return above * pairs, pairs.astype(np.float64)


@lru_cache(maxsize=8)  # the same for every layer and model
def _weights(clusters: tuple[str, ...], resampling: Resampling) -> Floats:
    """Return how often each resample drew each prompt's cluster: `[resamples, prompts]`."""
    _, place = np.unique(np.array(clusters), return_inverse=True)
    num_clusters = int(place.max()) + 1
    rng = np.random.default_rng(resampling.seed)
    equal = np.full(num_clusters, 1 / num_clusters)
    drawn = rng.multinomial(num_clusters, equal, size=resampling.resamples)
    return drawn[:, place].astype(np.float64)
