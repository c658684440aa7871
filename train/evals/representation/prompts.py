"""The prompts as arrays: classes, folds and shuffles, the same for all layers of all models."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synth.digest import digest
from train.evals.intervals import Resampling
from train.evals.representation.probes import ID, Probe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What all layers of all models are looked at with.

    Attributes:
        probes: The prompts.
        num_folds: Of the cross-validations.
        num_shuffles: Of the control.
        resampling: Of the intervals; its seed also deals out folds and shuffles.
    """

    probes: Sequence[Probe]
    num_folds: int
    num_shuffles: int
    resampling: Resampling

    @cached_property
    def harmful(self) -> Mask:
        """Which are harmful; the others are benign."""
        return np.array([probe.harmful for probe in self.probes])

    @cached_property
    def own(self) -> Mask:
        """Which are in distribution."""
        return self.of(ID)

    @cached_property
    def families(self) -> list[str]:
        """The families beside `ID`."""
        return sorted({probe.family for probe in self.probes} - {ID})

    @cached_property
    def clusters(self) -> list[str]:
        """Each one's cluster."""
        return [probe.cluster for probe in self.probes]

    @cached_property
    def folds(self) -> Ints:
        """Each one's fold."""
        return assign_folds(self.probes, self.num_folds, self.resampling.seed)

    @cached_property
    def shuffles(self) -> list[Mask]:
        """`harmful` with the labels in distribution shuffled."""
        return shuffled(self.harmful, self.own, self.num_shuffles, self.resampling.seed)

    def of(self, family: str) -> Mask:
        """Return which are of a family."""
        return np.array([probe.family == family for probe in self.probes])

    def clusters_of(self, chosen: Mask) -> list[str]:
        """Return the clusters of some."""
        return [cluster for cluster, one in zip(self.clusters, chosen, strict=True) if one]


def assign_folds(probes: Sequence[Probe], folds: int, seed: int) -> Ints:
    """Return each prompt's fold; those of a cluster share theirs.

    Clusters of one kind (the same families and labels) are dealt out in turn, so that every
    class is spread as evenly as can be.
    """
    kinds: dict[str, Counter[tuple[str, str]]] = {}
    for probe in probes:
        kinds.setdefault(probe.cluster, Counter())[probe.family, probe.label] += 1
    dealt = sorted(kinds, key=lambda c: (sorted(kinds[c].items()), digest(seed, c)))
    fold = {cluster: position % folds for position, cluster in enumerate(dealt)}
    return np.array([fold[probe.cluster] for probe in probes])


def shuffled(labels: Mask, own: Mask, times: int, seed: int) -> list[Mask]:
    """Return `labels` with those of `own` dealt out anew, so many times."""
    rng = np.random.default_rng(seed)
    dealt = []
    for _ in range(times):
        other = labels.copy()
        other[own] = rng.permutation(labels[own])
        dealt.append(other)
    return dealt
