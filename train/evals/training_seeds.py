"""Several students of one method: the training seed as the outer cluster.

Two trainings that differ in nothing but their seed give students that differ, often by more
than the methods one wants to compare. A claim about a method rests on its students, not on
their answers: with fewer than three of them there is no interval, and no claim is supported.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from train.evals.intervals import (
    LEVEL,
    NOTHING,
    Estimate,
    Resampling,
    Term,
    estimate,
    percentiles,
    resampled_means,
)

MIN_SEEDS = 3


def nested_estimate(terms_by_seed: Sequence[Sequence[Term]], resampling: Resampling) -> Estimate:
    """Return the mean over training seeds of a statistic, with a two-level interval.

    A resample draws training seeds with replacement, and clusters of prompts within them. All
    students answer the same prompts, so a cluster is drawn for all of them at once. A bootstrap
    of S values is too narrow by sqrt((S - 1) / S), and by the difference between Student's t
    and the normal: students' deviations from their mean are stretched by both factors.

    Args:
        terms_by_seed: Each student's terms, whose weighted sum is the statistic; as many for
            each. For a comparison of methods, one student of either.
        resampling: How often, and from which seed.
    """
    num_seeds = len(terms_by_seed)
    terms = [term for of_one in terms_by_seed for term in of_one]
    if not terms or not all(term.values for term in terms):
        return NOTHING
    value = math.fsum(term.weight * term.mean for term in terms) / num_seeds
    if num_seeds < MIN_SEEDS:
        return Estimate(value=value, low=None, high=None, method="none")
    weighted = resampled_means(terms, resampling) * np.array([term.weight for term in terms])
    students = weighted.reshape(len(weighted), num_seeds, -1).sum(axis=2)
    centre = students.mean(axis=1, keepdims=True)
    stretched = centre + _stretch(num_seeds) * (students - centre)
    rng = np.random.default_rng([resampling.seed, num_seeds])
    drawn = rng.integers(num_seeds, size=students.shape)
    means = np.take_along_axis(stretched, drawn, axis=1).mean(axis=1)
    if np.allclose(means, value, rtol=0, atol=1e-12):
        return estimate(terms_by_seed[0], resampling)  # all alike: a bootstrap has no width
    low, high = percentiles(means)
    return Estimate(value=value, low=low, high=high, method="two-level bootstrap")


def _stretch(num_seeds: int) -> float:
    tail = (1 + LEVEL) / 2
    student = float(stats.t.ppf(tail, num_seeds - 1) / stats.norm.ppf(tail))
    return student * math.sqrt(num_seeds / (num_seeds - 1))
