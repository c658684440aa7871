"""Caps and balance: which of the pairs are trained on, and why the others are not.

Nothing is ever made up: what there is too little of is not filled up, what there is too much of
is left out and counted. Pairs stand in the order of their `row_id`, a digest, which is as good as
shuffled and the same for the same pairs however they came.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Literal

from synth.recipes.pairs_base import Pair

Why = Literal["twice", "per_seed", "labels", "kinds"]
Ratio = Mapping[str, float]
Rule = Callable[[Sequence[Pair]], list[bool]]


@dataclass(frozen=True, slots=True)
class Balanced:
    """Pairs, sorted out.

    Attributes:
        kept: Those to train on, in the order of `row_id`.
        left_out: The others, by the rule that left them out.
    """

    kept: tuple[Pair, ...]
    left_out: Mapping[Why, tuple[Pair, ...]]


def balance(
    pairs: Iterable[Pair],
    *,
    per_seed: int | None = None,
    labels: Ratio | None = None,
    kinds: Ratio | None = None,
) -> Balanced:
    """Return the pairs that keep to the caps and ratios, as many as there can be.

    The rules apply one after the other. A group of which there is no pair at all takes no part in
    a ratio: the others are then in the ratio among themselves.

    Args:
        pairs: Of any seeds and kinds. Of those with equal texts one counts.
        per_seed: So many pairs of one kind and seed at most; None takes all.
        labels: Weights of `harmful` and `other` prompts within each kind; None takes all.
        kinds: A weight for every kind; None takes all. What is cut of a kind leaves its `labels`
            in their ratio, give or take one pair.
    """
    rules: dict[Why, Rule] = {"twice": _once}
    if per_seed is not None:
        rules["per_seed"] = partial(_capped, per_seed=per_seed)
    if labels is not None:
        rules["labels"] = partial(_labels_in_ratio, weights=labels)
    if kinds is not None:
        rules["kinds"] = partial(_kinds_in_ratio, weights=kinds, labels=labels)
    kept = sorted(pairs, key=lambda pair: pair.row_id)
    left_out: dict[Why, tuple[Pair, ...]] = {}
    for why, rule in rules.items():
        passes = rule(kept)
        left_out[why] = tuple(compress(kept, (not passed for passed in passes)))
        kept = list(compress(kept, passes))
    return Balanced(tuple(kept), left_out)


def _once(pairs: Sequence[Pair]) -> list[bool]:
    texts = [(p.seed_id, str(p.prompt), p.chosen, p.rejected) for p in pairs]
    return [rank == 1 for rank in _ranks(texts)]


def _capped(pairs: Sequence[Pair], *, per_seed: int) -> list[bool]:
    return [rank <= per_seed for rank in _ranks([(p.seed_id, p.kind) for p in pairs])]


def _labels_in_ratio(pairs: Sequence[Pair], *, weights: Ratio) -> list[bool]:
    passes = [False] * len(pairs)
    for kind in {p.kind for p in pairs}:
        places = [place for place, p in enumerate(pairs) if p.kind == kind]
        fits = _in_ratio([_side(pairs[place]) for place in places], weights)
        for place, fit in zip(places, fits, strict=True):
            passes[place] = fit
    return passes


def _kinds_in_ratio(pairs: Sequence[Pair], *, weights: Ratio, labels: Ratio | None) -> list[bool]:
    """Cut the kinds that are too many; labels in a ratio take turns, and keep it."""
    order = list(range(len(pairs)))
    if labels is not None:
        ranks = _ranks([(p.kind, _side(p)) for p in pairs])
        order.sort(key=lambda place: ranks[place] / labels[_side(pairs[place])])
    passes = [False] * len(pairs)
    fits = _in_ratio([pairs[place].kind for place in order], weights)
    for place, fit in zip(order, fits, strict=True):
        passes[place] = fit
    return passes


def _in_ratio(groups: Sequence[str], weights: Ratio) -> list[bool]:
    """Say which members are taken, the first of each group, so that the ratio is kept."""
    sizes = Counter(groups)
    share = min((size / weights[group] for group, size in sizes.items()), default=0.0)
    ranks = _ranks(groups)
    return [rank / weights[g] <= share for g, rank in zip(groups, ranks, strict=True)]


def _ranks(keys: Sequence[Hashable]) -> list[int]:
    """Return how many of its like each key ends: 1 for the first of them."""
    seen: dict[Hashable, int] = defaultdict(int)
    ranks = []
    for key in keys:
        seen[key] += 1
        ranks.append(seen[key])
    return ranks


def _side(pair: Pair) -> str:
    return "harmful" if pair.label == "harmful" else "other"
