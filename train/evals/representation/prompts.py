"""Which prompts are looked at, and these as arrays: classes, folds and shuffles.

In distribution (`ID`) is the half of the run's seeds that training draws on. Everything fitted
is fitted on it. The families are those of the evaluation's items: `plain`, the same kind of
prompt but never trained on, which tells what to expect of the attacks were they no attacks; and
the attacks, on harmful prompts and on their benign twins.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synth.config.schema import Limit
from synth.records import Item, Message, Seed, digest
from synth.seeds.seeds import take
from train.evals.stats import Resampling

ID = "id"
HARMFUL, BENIGN = "harmful", "benign"

_Prompts = dict[str, tuple[Seed, str]]  # by `seed_id`: the prompt, and the seed it comes from

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One prompt.

    Attributes:
        probe_id: Digest of the conversation as it is sent.
        family: `ID`, `plain`, or an attack's family.
        attack: The attack's name, or `plain`.
        label: `harmful` or `benign`.
        cluster: What folds keep together and resampling draws: a prompt's twin and every
            attacked form of either have the same.
        messages: The conversation.
    """

    probe_id: str
    family: str
    attack: str
    label: str
    cluster: str
    messages: tuple[Message, ...]

    @property
    def harmful(self) -> bool:
        """Whether it asks for something harmful."""
        return self.label == HARMFUL


def choose_probes(training: Sequence[Seed], items: Iterable[Item], total: int) -> list[Probe]:
    """Choose at most `total` prompts, as many harmful as benign ones where there are.

    A class of `ID` gets twice what a class of a family gets, and what the families have too few
    prompts for: all fits are on it. A family's share is spread over its attacks and suites.
    Within each, `synth.seeds.seeds.take` chooses, evenly over categories and with twins together.

    Args:
        training: Seeds of the training half.
        items: The evaluation; samples of one prompt count once.
        total: In all.
    """
    cells = _cells(items)
    families = Counter(family for family, _, _ in cells)
    share = total // (4 + 2 * len(families))
    attacked = [
        probe
        for (family, attack, _), found in cells.items()
        for probe in _take(found, max(1, share // families[family]), family, attack)
    ]
    own = {seed.seed_id: (seed, seed.seed_id) for seed in training}
    probes = [*_take(own, (total - len(attacked)) // 2, ID, ID), *attacked]
    return list({probe.probe_id: probe for probe in probes}.values())


def _cells(items: Iterable[Item]) -> dict[tuple[str, str, str], _Prompts]:
    """Return the prompts of each family, attack and suite, in the order of these names."""
    cells: defaultdict[tuple[str, str, str], _Prompts] = defaultdict(dict)
    for item in items:
        about, seed = item.payload, item.seed
        cell = cells[about["family"], about["transform"], about["suite"]]
        cell.setdefault(seed.seed_id, (seed, about["origin"]))
    return dict(sorted(cells.items()))


def _take(prompts: _Prompts, share: int, family: str, attack: str) -> list[Probe]:
    limit = Limit(harmful=share, benign=share, borderline=0)
    chosen = take([seed for seed, _ in prompts.values()], limit)
    return [
        Probe(
            probe_id=seed.seed_id,
            family=family,
            attack=attack,
            label=seed.label,
            cluster=seed.pair or prompts[seed.seed_id][1],
            messages=tuple(seed.messages),
        )
        for seed in sorted(chosen, key=lambda seed: seed.seed_id)
    ]


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
