"""Intervals and tests that respect how the data came about.

Answers to one prompt, and to a prompt and its benign twin, are not independent: treating
8 answers to 100 prompts as 800 is the commonest error of the field. Here prompts are the
unit and their clusters (twins together) are what is resampled. Every statistic is a linear
combination of mean rates, so one estimator serves rates, discrimination, differences
between models and whole curves.

Clusters of equal numbers are as good as one another. Where many are, it is drawn how many of each
kind come (by a multinomial, or a binomial for signs), and otherwise which clusters come: a resample
has the same distribution either way. Draws are held for a few resamples at a time, since all at
once 25,000 prompts would take gigabytes.

Two trainings that differ in nothing but their seed give students that differ, often by more
than the methods one wants to compare. A claim about a method rests on its students, not on
their answers: with fewer than three of them there is no interval, and no claim is supported.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CELLS = 2**17  # counts held at once: 1 MiB, which a processor's cache takes
_ALIKE = 16  # clusters a kind from which drawing kinds is the quicker way

_DECIMALS = 12  # of a contribution's share in the largest: below, numbers differ by rounding
_ROUNDING = 10.0**-_DECIMALS

LEVEL = 0.95
POWER = 0.80
NO_WIDTH = 1e-12  # resamples that differ by less differ by rounding
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))

WORTH_FINDING = 0.10  # a difference that an evaluation has to be large enough for

MIN_SEEDS = 3


def resampled_sums(clusters: Floats, resamples: int, seed: int) -> Floats:
    """Return the sum of as many rows as there are, drawn with replacement: a row a resample.

    A row is drawn with all its columns, so what belongs to one cluster stays together.

    Args:
        clusters: A row of numbers for each cluster; at least one.
        resamples: How often to draw.
        seed: Equal ones give equal draws.
    """
    rng = np.random.default_rng(seed)
    kinds, numbers = np.unique(clusters, axis=0, return_counts=True)
    if few_kinds(numbers):
        shares = numbers / len(clusters)
        parts = [
            rng.multinomial(len(clusters), shares, size=size) @ kinds
            for size in resample_batches(resamples, len(kinds))
        ]
    else:
        parts = [
            _counts(rng, len(clusters), size) @ clusters
            for size in resample_batches(resamples, len(clusters))
        ]
    return np.concatenate(parts)


def few_kinds(numbers: Ints) -> bool:
    """Say whether drawing by kind is worth it, from how many clusters each kind has."""
    return len(numbers) * _ALIKE <= int(numbers.sum())


def resample_batches(resamples: int, width: int) -> Iterator[int]:
    """Yield how many resamples of `width` numbers each to draw at once, until all are drawn."""
    size = max(1, _CELLS // width)
    for done in range(0, resamples, size):
        yield min(size, resamples - done)


def _counts(rng: np.random.Generator, num_clusters: int, resamples: int) -> Ints:
    """Return how often each resample drew each cluster."""
    drawn = rng.integers(num_clusters, size=(resamples, num_clusters))
    drawn += np.arange(resamples)[:, None] * num_clusters
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)


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
            for size in resample_batches(resamples, len(kinds))
        ]
    else:
        each = np.repeat(kinds, numbers)
        positive = [
            rng.integers(2, size=(size, len(each)), dtype=np.bool_) @ each
            for size in resample_batches(resamples, len(each))
        ]
    return 2 * np.concatenate(positive) - kinds @ numbers


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


def estimate(
    terms: Sequence[Term], resampling: Resampling, means: Floats | None = None
) -> Estimate:
    """Return the sum of weighted means with a percentile interval over resampled clusters.

    A single rate that is a proportion of independent prompts has Wilson's interval instead:
    a bootstrap of 1 in 100 holds 0, and ends below the 3.7 % that 0 of 100 still allows. A
    bootstrap of equal values has no width at all: there the interval is Wilson's over prompts,
    combined for several terms by Newcombe's method.

    Args:
        terms: What is summed.
        resampling: How often to draw, and from which seed.
        means: `resampled_means` of these, where they are drawn already.
    """
    if not all(term.values for term in terms):
        return NOTHING
    value = math.fsum(term.weight * term.mean for term in terms)
    rate = len(terms) == 1 and terms[0].weight == 1
    if any(term.varies for term in terms) and not (rate and terms[0].proportion):
        drawn = bootstrap(terms, resampling, means)
        if np.ptp(drawn) > NO_WIDTH:
            low, high = percentiles(drawn)
            return Estimate(value=value, low=low, high=high, method="cluster bootstrap")
    if rate:
        low, high = wilson(terms[0].mean, len(terms[0].values))
        return Estimate(value=value, low=low, high=high, method="wilson")
    low, high = newcombe(terms)
    return Estimate(value=value, low=low, high=high, method="newcombe")


def ratio(
    numerator: Term, denominator: Term, resampling: Resampling, means: Floats | None = None
) -> Estimate:
    """Return the ratio of two means, such as utility retention, whatever their weights.

    Clusters are resampled together, so prompts that both terms hold stay paired. Resamples
    whose denominator is 0 have no ratio and are left out; where they are too many to be left
    out of a 95 % interval, there is no interval. There is no value where the denominator is 0.

    Args:
        numerator: What is divided.
        denominator: By what.
        resampling: How often to draw, and from which seed.
        means: `resampled_means` of the two, where they are drawn already.
    """
    terms = (numerator, denominator)
    if not all(term.values for term in terms) or denominator.mean == 0:
        return NOTHING
    value = numerator.mean / denominator.mean
    means = resampled_means(terms, resampling) if means is None else means
    defined = means[means[:, 1] > 0]
    if len(defined) < len(means) * (1 + LEVEL) / 2:
        return Estimate(value=value, low=None, high=None, method="none")
    drawn = defined[:, 0] / defined[:, 1]
    if np.ptp(drawn) > NO_WIDTH:
        low, high = percentiles(drawn)
        return Estimate(value=value, low=low, high=high, method="cluster bootstrap")
    low, high = _mover(numerator, denominator)
    return Estimate(value=value, low=low, high=high, method="mover")


def bootstrap(terms: Sequence[Term], resampling: Resampling, means: Floats | None = None) -> Floats:
    """Return the statistic on clusters drawn with replacement, once a resample.

    Resamples in which a term has no prompt at all are left out.
    """
    means = resampled_means(terms, resampling) if means is None else means
    return means @ np.array([term.weight for term in terms])


def resampled_means(terms: Sequence[Term], resampling: Resampling) -> Floats:
    """Return the terms' means on clusters drawn with replacement: a row a resample.

    A cluster is drawn for all terms at once, which is what pairs them. Resamples in which a
    term has no prompt at all are left out. Who asks several things of the same terms draws
    once, and hands the means to each: the terms' weights have no part in them.
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


def detectable(terms: Sequence[Term], resampling: Resampling, means: Floats | None = None) -> float:
    """Return the difference this much data finds with 80 % power at the 5 % level.

    Where two models agree on every one of n prompts, they still may differ on a share of all
    prompts up to Wilson's limit, z^2 / (n + z^2): the spread is never taken for less than that
    much disagreement would give, or three prompts would find any difference.

    Args:
        terms: Of the difference of two models; each has a prompt.
        resampling: How often to draw, and from which seed.
        means: `resampled_means` of these, where they are drawn already.
    """
    clusters = len({cluster for term in terms for cluster, _ in term.values})
    least = math.sqrt(_Z**2 / (clusters + _Z**2) / clusters)
    spread = max(least, float(np.std(bootstrap(terms, resampling, means))))
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


def enough(detectable: float | None) -> bool:
    """Say whether a difference worth finding would be found with 80 % power.

    Args:
        detectable: The least difference that would be; None where there is no prompt at all.
    """
    return detectable is not None and detectable <= WORTH_FINDING


def required_prompts(discordant: float, difference: float = WORTH_FINDING) -> int:
    """Return how many prompts McNemar's test needs for 80 % power at the 5 % level.

    The formula is Connor's (Biometrics 1987); for one answer a prompt its variance,
    `discordant - difference^2`, is that of Miller (arXiv 2411.00640, section 5).

    Args:
        discordant: Share of prompts on which the two models differ.
        difference: The difference of their rates that is to be found.

    Raises:
        ValueError: The difference is not above 0, or above the share of differing prompts.
    """
    if not 0 < difference <= discordant <= 1:
        raise ValueError(f"no difference of {difference} with {discordant} of prompts differing")
    z_level, z_power = (float(stats.norm.ppf(p)) for p in ((1 + LEVEL) / 2, POWER))
    spread = z_level * math.sqrt(discordant) + z_power * math.sqrt(discordant - difference**2)
    return math.ceil((spread / difference) ** 2)


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
