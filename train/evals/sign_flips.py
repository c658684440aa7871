"""The sign-flip permutation test of paired differences.

Clusters of equal size, whatever their sign, are as good as one another: of k such clusters a
binomial number is positive. So a few kinds of clusters have few sums, which can all be tried,
and many clusters of few kinds are drawn at once.
"""

import math

import numpy as np
from scipy import stats

from train.evals.resampling import Floats, Ints, batches, few_kinds

_DECIMALS = 12  # of a contribution's share in the largest: below, numbers differ by rounding
_ROUNDING = 10.0**-_DECIMALS


def two_sided_p(parts: Floats, resamples: int, seed: int) -> float:
    """Return the share of sign assignments whose sum is at least as far from 0 as the data's.

    Exact where there are no more combinations of positive clusters than resamples. Otherwise
    the signs are drawn, and the data count as one of the draws (Phipson and Smyth 2010), which
    keeps p above 0. Sums equal on paper count as equal: ties decide a permutation test.

    Args:
        parts: A row for each cluster, whose sum is what the cluster contributes. What cancels
            within a row but for rounding is no contribution.
        resamples: How many assignments to try at most.
        seed: Equal ones give equal draws.
    """
    scale = np.abs(parts).sum(axis=1).max()
    if scale == 0:
        return 1.0
    contributions = np.round(parts.sum(axis=1) / scale, _DECIMALS)
    kinds, numbers = np.unique(np.abs(contributions[contributions != 0]), return_counts=True)
    least = abs(contributions.sum()) - len(contributions) * _ROUNDING
    if math.prod(number + 1 for number in numbers.tolist()) <= resamples:
        return _exact(kinds, numbers, least)
    drawn = _drawn_sums(kinds, numbers, resamples, np.random.default_rng(seed))
    return (np.count_nonzero(np.abs(drawn) >= least) + 1) / (resamples + 1)


def _exact(kinds: Floats, numbers: Ints, least: float) -> float:
    """Return the probability of a sum of at least that size, over all numbers of positives."""
    sums, chances = np.zeros(1), np.ones(1)
    for kind, number in zip(kinds, numbers, strict=True):
        positive = np.arange(number + 1)
        sums = np.add.outer(sums, (2 * positive - number) * kind).ravel()
        chances = np.multiply.outer(chances, stats.binom.pmf(positive, number, 0.5)).ravel()
    return min(1.0, math.fsum(chances[np.abs(sums) >= least]))


def _drawn_sums(kinds: Floats, numbers: Ints, resamples: int, rng: np.random.Generator) -> Floats:
    """Return the sum of each resample: twice its positive clusters, less all of them."""
    if few_kinds(numbers):
        positive = [
            rng.binomial(numbers, 0.5, size=(size, len(kinds))) @ kinds
            for size in batches(resamples, len(kinds))
        ]
    else:
        each = np.repeat(kinds, numbers)
        positive = [
            rng.integers(2, size=(size, len(each)), dtype=np.bool_) @ each
            for size in batches(resamples, len(each))
        ]
    return 2 * np.concatenate(positive) - kinds @ numbers
