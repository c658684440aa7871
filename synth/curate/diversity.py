"""Diversity: so many rows that sources and categories stay even (STAR-1, arXiv 2504.01903)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

_GONE = -1  # a score below all others


def select_diverse(rows: Iterable[tuple[str, str, Sequence[str]]], limit: int) -> set[str]:
    """Return the `row_id`s to remove so that at most `limit` rows are left.

    One row after another goes: the one whose source's frequency times the sum of its categories'
    frequencies, both among the rows still there, is greatest; of equal ones the one with the
    smallest `row_id`. Rows of one source and the same categories always score alike, so kinds
    of rows are scored, not rows.

    Args:
        rows: `(row_id, source, categories)`, a `row_id` once; a repeated category counts once.
        limit: Rows to keep, 0 or more.
    """
    ordered = sorted(rows)
    waiting: dict[tuple[str, frozenset[str]], list[int]] = defaultdict(list)
    for rank in range(len(ordered) - 1, -1, -1):  # the next to go stands last
        _, source, categories = ordered[rank]
        waiting[source, frozenset(categories)].append(rank)
    kinds = list(waiting)
    left = np.array([len(ranks) for ranks in waiting.values()])
    first = np.array([ranks[-1] for ranks in waiting.values()])
    _, source_of = np.unique([source for source, _ in kinds], return_inverse=True)
    has = {
        name: np.array([name in categories for _, categories in kinds], int)
        for name in set[str]().union(*(categories for _, categories in kinds))
    }
    sources = np.bincount(source_of, weights=left).astype(int)
    sums = sum((members * (members @ left) for members in has.values()), np.zeros_like(left))
    removed: set[str] = set()
    while len(removed) < len(ordered) - limit:
        scores = np.where(left > 0, sources[source_of] * sums, _GONE)
        best = np.flatnonzero(scores == scores.max())
        kind = best[first[best].argmin()]
        ranks = waiting[kinds[kind]]
        removed.add(ordered[ranks.pop()][0])
        first[kind] = ranks[-1] if ranks else len(ordered)
        left[kind] -= 1
        sources[source_of[kind]] -= 1
        for name in kinds[kind][1]:
            sums -= has[name]
    return removed
