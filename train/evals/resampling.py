"""Drawing clusters with replacement, whatever their number, in little memory.

Clusters of equal numbers are as good as one another. Where many are, it is drawn how many of
each kind come, and otherwise which clusters come: a resample has the same distribution either
way. Counts are drawn for a few resamples at a time, since all at once 25,000 prompts would
take gigabytes.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CELLS = 2**17  # counts held at once: 1 MiB, which a processor's cache takes
_ALIKE = 16  # clusters a kind from which drawing kinds is the quicker way


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
            for size in batches(resamples, len(kinds))
        ]
    else:
        parts = [
            _counts(rng, len(clusters), size) @ clusters
            for size in batches(resamples, len(clusters))
        ]
    return np.concatenate(parts)


def few_kinds(numbers: Ints) -> bool:
    """Say whether drawing by kind is worth it, from how many clusters each kind has."""
    return len(numbers) * _ALIKE <= int(numbers.sum())


def batches(resamples: int, width: int) -> Iterator[int]:
    """Yield how many resamples of `width` numbers each to draw at once, until all are drawn."""
    size = max(1, _CELLS // width)
    for done in range(0, resamples, size):
        yield min(size, resamples - done)


def _counts(rng: np.random.Generator, num_clusters: int, resamples: int) -> Ints:
    """Return how often each resample drew each cluster."""
    drawn = rng.integers(num_clusters, size=(resamples, num_clusters))
    drawn += np.arange(resamples)[:, None] * num_clusters
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
