"""Prompts that stand in two places: in two suites, or in a suite and among the training seeds.

Public suites copy from each other, so two of them are not two pieces of evidence where they
overlap. What is found is reported, not removed; that nothing evaluated was trained on is
checked elsewhere (`check_lineage`), and training seeds near a suite are dropped before.
"""

from collections.abc import Sequence
from typing import TypedDict

from synth.records import Seed
from synth.seeds.near_duplicates import Index, Sketch, sketches
from train.evals.suites_suites import Suite

TRAINING = "training"


class Overlap(TypedDict):
    """What two sets of prompts share.

    Attributes:
        first: Name of a suite.
        second: Name of another suite, or `training`.
        exact: Prompts of `first` whose normalised text is one of `second`.
        near: Further prompts of `first` that are near duplicates of one of `second`.
        ids: `seed_id` of those prompts in `first`, exact ones first.
    """

    first: str
    second: str
    exact: int
    near: int
    ids: list[str]


def overlaps(
    suites: Sequence[Suite], training: Sequence[Seed], threshold: float = 0.8
) -> list[Overlap]:
    """Return every two suites that share prompts, and every suite that shares some with training.

    Args:
        suites: All of them, whole: what a run asks of them is a part.
        training: The seeds that training may draw on.
        threshold: Least Jaccard similarity of near duplicates; see `synth.seeds.near_duplicates`.
    """
    own = [(suite.name, _sketched(suite.seeds)) for suite in suites]
    sets = [*own, (TRAINING, _sketched(training))]
    held = [(name, Index(threshold, texts)) for name, texts in sets]
    pairs = [(one, other) for at, one in enumerate(own) for other in held[at + 1 : -1]]
    pairs += [(one, held[-1]) for one in own]
    found = [_overlap(*one, *other) for one, other in pairs]
    return [overlap for overlap in found if overlap["ids"]]


def _sketched(seeds: Sequence[Seed]) -> list[Sketch]:
    return list(sketches({seed.seed_id: seed.prompt for seed in seeds}))


def _overlap(name: str, own: Sequence[Sketch], other: str, held: Index) -> Overlap:
    found = held.matches(own)
    same = [text.key for text in own if held.holds(text)]
    ids = [*same, *sorted(found.keys() - set(same))]
    return Overlap(first=name, second=other, exact=len(same), near=len(found) - len(same), ids=ids)
