"""Estimates of amounts (tokens a row, tokens an answer) and of acceptance, clusters resampled."""

from collections import Counter
from collections.abc import Iterable

from train.evals.intervals import NOTHING, Estimate, Resampling, Term, estimate, ratio


def ratio_of_sums(
    spent: Iterable[tuple[str, int]], gained: Iterable[tuple[str, int]], resampling: Resampling
) -> Estimate:
    """Return the sum of `spent` over the sum of `gained`, with a bootstrap interval.

    There is no value where nothing is gained. There is no interval where every cluster has the
    same ratio, or is the only one: resamples then do not differ, and an amount has no bound that
    could stand for what was not seen.

    Args:
        spent: Amounts by cluster; several of one cluster are added up.
        gained: The same of what they are divided by, in clusters that have spent.
        resampling: How often to draw, and from which seed.
    """
    costs, gains = _sums(spent), _sums(gained)
    cost, gain = costs.total(), gains.total()
    if not gain:
        return NOTHING
    if all(costs[cluster] * gain == gains[cluster] * cost for cluster in costs):
        return Estimate(value=cost / gain, low=None, high=None, method="none")
    numerator = Term(values=[(cluster, float(sum_)) for cluster, sum_ in costs.items()])
    denominator = Term(values=[(cluster, float(gains[cluster])) for cluster in costs])
    return ratio(numerator, denominator, resampling)


def share(decided: Iterable[tuple[str, bool]], resampling: Resampling) -> Estimate:
    """Return the share of what was decided that is true.

    The interval is Wilson's where no two are of one cluster, else a bootstrap over clusters. Where
    all were decided alike it is Wilson's over clusters, not over all: those of one are no further
    evidence.

    Args:
        decided: Cluster and decision of each.
        resampling: How often to draw, and from which seed.
    """
    term = Term(values=[(cluster, float(one)) for cluster, one in decided])
    if not term.varies:
        term = Term(values=sorted(set(term.values)))
    return estimate([term], resampling)


def _sums(amounts: Iterable[tuple[str, int]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for cluster, amount in amounts:
        sums[cluster] += amount
    return sums
