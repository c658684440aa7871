"""Intervals and tests that respect how the data came about.

Answers to one prompt, and to a prompt and its benign twin, are not independent: treating
8 answers to 100 prompts as 800 is the commonest error of the field. Here prompts are the
unit and their clusters (twins together) are what is resampled. Every statistic is a linear
combination of mean rates, so one estimator serves rates, discrimination, differences
between models and whole curves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from train.evals.resampling import Floats, resampled_sums
from train.evals.sign_flips import two_sided_p

LEVEL = 0.95
POWER = 0.80
NO_WIDTH = 1e-12  # resamples that differ by less differ by rounding
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A mean over prompts, weighted.

    Attributes:
        values: One `(cluster, value)` a prompt.
        weight: Factor of the mean in the statistic.
    """

    values: Sequence[tuple[str, float]]
    weight: float = 1.0

    @property
    def mean(self) -> float:
        """The unweighted mean."""
        return math.fsum(value for _, value in self.values) / len(self.values)

    @property
    def varies(self) -> bool:
        """Whether two prompts have unlike values."""
        return len({value for _, value in self.values}) > 1

    @property
    def proportion(self) -> bool:
        """Whether it is a share of independent prompts: 0 or 1 each, and no two of a cluster."""
        one_each = len({cluster for cluster, _ in self.values}) == len(self.values)
        return one_each and all(value in (0, 1) for _, value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        value: The statistic, or None where a term has no prompt.
        low: Lower end.
        high: Upper end.
        method: `wilson` for a proportion of independent prompts; else `cluster bootstrap`;
            or, where no resample differs from another, `wilson` for a rate, `newcombe` for a
            difference of rates and `mover` for a ratio of rates; or `none`.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str


NOTHING = Estimate(value=None, low=None, high=None, method="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How often, and from which seed."""

    resamples: int
    seed: int


def estimate(terms: Sequence[Term], resampling: Resampling) -> Estimate:
    """Return the sum of weighted means with a percentile interval over resampled clusters.

    A single rate that is a proportion of independent prompts has Wilson's interval instead:
    a bootstrap of 1 in 100 holds 0, and ends below the 3.7 % that 0 of 100 still allows. A
    bootstrap of equal values has no width at all: there the interval is Wilson's over prompts,
    combined for several terms by Newcombe's method.
    """
    if not all(term.values for term in terms):
        return NOTHING
    value = math.fsum(term.weight * term.mean for term in terms)
    rate = len(terms) == 1 and terms[0].weight == 1
    if any(term.varies for term in terms) and not (rate and terms[0].proportion):
        drawn = bootstrap(terms, resampling)
        if np.ptp(drawn) > NO_WIDTH:
            low, high = percentiles(drawn)
            return Estimate(value=value, low=low, high=high, method="cluster bootstrap")
    if rate:
        low, high = wilson(terms[0].mean, len(terms[0].values))
        return Estimate(value=value, low=low, high=high, method="wilson")
    low, high = newcombe(terms)
    return Estimate(value=value, low=low, high=high, method="newcombe")


def ratio(numerator: Term, denominator: Term, resampling: Resampling) -> Estimate:
    """Return the ratio of two means, such as utility retention, whatever their weights.

    Clusters are resampled together, so prompts that both terms hold stay paired. Resamples
    whose denominator is 0 have no ratio and are left out; where they are too many to be left
    out of a 95 % interval, there is no interval. There is no value where the denominator is 0.
    """
    terms = (numerator, denominator)
    if not all(term.values for term in terms) or denominator.mean == 0:
        return NOTHING
    value = numerator.mean / denominator.mean
    means = resampled_means(terms, resampling)
    defined = means[means[:, 1] > 0]
    if len(defined) < len(means) * (1 + LEVEL) / 2:
        return Estimate(value=value, low=None, high=None, method="none")
    drawn = defined[:, 0] / defined[:, 1]
    if np.ptp(drawn) > NO_WIDTH:
        low, high = percentiles(drawn)
        return Estimate(value=value, low=low, high=high, method="cluster bootstrap")
    low, high = _mover(numerator, denominator)
    return Estimate(value=value, low=low, high=high, method="mover")


def bootstrap(terms: Sequence[Term], resampling: Resampling) -> Floats:
    """Return the statistic on clusters drawn with replacement, once a resample.

    Resamples in which a term has no prompt at all are left out.
    """
    return resampled_means(terms, resampling) @ np.array([term.weight for term in terms])


def resampled_means(terms: Sequence[Term], resampling: Resampling) -> Floats:
    """Return the terms' means on clusters drawn with replacement: a row a resample.

    A cluster is drawn for all terms at once, which is what pairs them. Resamples in which a
    term has no prompt at all are left out.
    """
    clusters = sorted({cluster for term in terms for cluster, _ in term.values})
    sums, counts = _by_cluster(terms, clusters)
    both = np.hstack([sums, counts])
    drawn = resampled_sums(both, resampling.resamples, resampling.seed)
    totals, numbers = np.hsplit(drawn, 2)
    kept = (numbers > 0).all(axis=1)
    return totals[kept] / numbers[kept]


def percentiles(drawn: Floats) -> tuple[float, float]:
    """Return the ends of the middle 95 % of a statistic's resamples."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(mean: float, n: int) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion over `n` prompts.

    With one answer a prompt this is the textbook interval. With several, `mean` is the mean
    of the prompts' rates and `n` still the number of prompts: since a mean of rates varies
    at most as much as a proportion of the same mean, the interval is conservative.
    """
    centre = mean + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(mean * (1 - mean) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def newcombe(terms: Sequence[Term]) -> tuple[float, float]:
    """Combine the terms' Wilson intervals (Newcombe 1998, method 10, for weighted sums).

    The terms' means must be rates in [0, 1].
    """
    value = math.fsum(term.weight * term.mean for term in terms)
    down = up = 0.0
    for term in terms:
        low, high = wilson(term.mean, len(term.values))
        ends = term.weight * (low - term.mean), term.weight * (high - term.mean)
        down += min(ends) ** 2
        up += max(ends) ** 2
    return value - math.sqrt(down), value + math.sqrt(up)


def sign_flip_p(terms: Sequence[Term], resampling: Resampling) -> float:
    """Return the two-sided p of a sum of mean differences being 0.

    Under the null hypothesis either model could have given either model's answers, so each
    cluster's contribution is as likely with the other sign. Exact where the clusters, or their
    kinds, are few enough to try all signs within the resamples.
    """
    clusters = sorted({cluster for term in terms for cluster, _ in term.values})
    sums, counts = _by_cluster(terms, clusters)
    weights = np.array([term.weight for term in terms])
    return two_sided_p(sums / counts.sum(axis=0) * weights, resampling.resamples, resampling.seed)


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Return the exact two-sided p of McNemar's test.

    Args:
        first_only: Prompts on which only the first model did it.
        second_only: Prompts on which only the second did.
    """
    discordant = first_only + second_only
    if discordant == 0:
        return 1.0
    return float(stats.binomtest(first_only, discordant, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number (Holm 1979), in the given order."""
    adjusted, least = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def detectable(terms: Sequence[Term], resampling: Resampling) -> float:
    """Return the difference this much data finds with 80 % power at the 5 % level.

    Where two models agree on every one of n prompts, they still may differ on a share of all
    prompts up to Wilson's limit, z^2 / (n + z^2): the spread is never taken for less than that
    much disagreement would give, or three prompts would find any difference.
    """
    clusters = len({cluster for term in terms for cluster, _ in term.values})
    least = math.sqrt(_Z**2 / (clusters + _Z**2) / clusters)
    spread = max(least, float(np.std(bootstrap(terms, resampling))))
    return (_Z + float(stats.norm.ppf(POWER))) * spread


def _mover(numerator: Term, denominator: Term) -> tuple[float, float | None]:
    """Combine two rates' Wilson intervals into that of their ratio (Donner and Zou 2012).

    The upper end is None where the denominator's interval reaches 0.
    """
    (a_low, a_high), (b_low, b_high) = (
        wilson(term.mean, len(term.values)) for term in (numerator, denominator)
    )
    a, b = numerator.mean, denominator.mean

    def end(a_end: float, b_end: float, sign: float) -> float:
        root = (a * b) ** 2 - a_end * b_end * (2 * a - a_end) * (2 * b - b_end)
        return (a * b + sign * math.sqrt(max(0.0, root))) / (b_end * (2 * b - b_end))

    return max(0.0, end(a_low, b_high, -1.0)), end(a_high, b_low, 1.0) if b_low > 0 else None


def _by_cluster(terms: Sequence[Term], clusters: Sequence[str]) -> tuple[Floats, Floats]:
    """Return sums and counts of the terms' values, one row a cluster, one column a term."""
    place = {cluster: row for row, cluster in enumerate(clusters)}
    sums = np.zeros((len(clusters), len(terms)))
    counts = np.zeros_like(sums)
    for column, term in enumerate(terms):
        for cluster, value in term.values:
            sums[place[cluster], column] += value
            counts[place[cluster], column] += 1
    return sums, counts
