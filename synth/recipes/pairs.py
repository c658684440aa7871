"""Preference pairs: two completions of one prompt, of which one is better, and why.

Outcome pairs prefer, of one prompt's samples, those that ended well. Process pairs prefer to
notice early: a chain that goes wrong can be mended at any of its steps, and all ways end alike, so
the reflection at step i is preferred over that at j > i, and each over the chain that never
noticed (SaRO, arXiv 2504.09420).

Caps and balance say which of the pairs are trained on. Nothing is ever made up: what there is too
little of is not filled up, what there is too much of is left out and counted. Pairs stand in the
order of their `row_id`, a digest, which is as good as shuffled and the same for the same pairs
however they came.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, compress, islice, product
from typing import Literal

from synth.recipes.surgery import completion_text
from synth.records import Message, TraceRow, digest, seed_of

Why = Literal["twice", "per_seed", "labels", "kinds"]
Ratio = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two ways to go on from one prompt; the first is preferred.

    Attributes:
        seed_id: Seed of both.
        label: Of the seed.
        category: Of the seed.
        prompt: The conversation. It may end with an assistant's turn, which both sides share and
            go on from: in DPO the shared part's log-ratios cancel, so that leaving it out of the
            sides is the step-level loss (STAIR, arXiv 2502.02384).
        chosen: The preferred text, as the student is to write it.
        rejected: The other one.
        kind: Why one is preferred: `outcome`, `process`, `step`, ...
        chosen_id: `row_id` of the trace that `chosen` is of.
        rejected_id: `row_id` of the other one's.
        chosen_ends: Whether the turn ends after `chosen`; False where more steps would follow.
        rejected_ends: The same of `rejected`.
    """

    seed_id: str
    label: str
    category: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    kind: str
    chosen_id: str
    rejected_id: str
    chosen_ends: bool = True
    rejected_ends: bool = True

    @property
    def row_id(self) -> str:
        """Identity of the pair: its traces, its place in them, and its kind."""
        texts = (self.prompt, self.chosen, self.rejected)
        return digest(self.chosen_id, self.rejected_id, *texts, self.kind)


def think_text(row: TraceRow) -> str:
    """Return a trace as a student writes it that reasons in think tags."""
    return completion_text("think", row["reasoning"], row["answer"])


def by_outcome(
    rows: Iterable[TraceRow],
    good: Callable[[TraceRow], bool | None],
    *,
    text: Callable[[TraceRow], str] = think_text,
    per_seed: int | None = None,
    shortest: bool = False,
) -> list[Pair]:
    """Return pairs of one seed's traces, a good one over a bad one.

    A prompt whose samples all end alike gives no pair. Samples of equal text count once, and not
    at all where they were judged differently. Which pairs are taken is told by digests, so that
    neither the order of the rows nor a clock has a say.

    Args:
        rows: Traces, of any seeds.
        good: How a trace ended; one that it has no verdict on (None) is in no pair.
        text: The text of a trace, as the student is to write it.
        per_seed: So many pairs of a seed at most; None takes all.
        shortest: The chosen side is always the shortest of the good ones.
    """
    seeds: dict[str, list[TraceRow]] = defaultdict(list)
    for row in rows:
        seeds[row["seed_id"]].append(row)
    pairs = []
    for _, samples in sorted(seeds.items()):
        chosen, rejected = _sides(samples, good, text)
        if shortest:
            chosen = sorted(chosen, key=lambda row: (len(text(row)), row["row_id"]))[:1]
        both = sorted(product(chosen, rejected), key=_order_by_chance)
        pairs += [make_pair(*sides, text, "outcome") for sides in islice(both, per_seed)]
    return pairs


def make_pair(
    chosen: TraceRow, rejected: TraceRow, text: Callable[[TraceRow], str], kind: str
) -> Pair:
    """Return the pair of two traces of one seed, both as whole completions.

    Raises:
        ValueError: They are of different seeds.
    """
    seed = seed_of(chosen)
    if rejected["seed_id"] != seed.seed_id:
        raise ValueError(f"a pair of two seeds, {seed.seed_id} and {rejected['seed_id']}")
    return Pair(
        seed_id=seed.seed_id,
        label=seed.label,
        category=seed.category,
        prompt=tuple(seed.messages),
        chosen=text(chosen),
        rejected=text(rejected),
        kind=kind,
        chosen_id=chosen["row_id"],
        rejected_id=rejected["row_id"],
    )


def _sides(
    samples: Sequence[TraceRow],
    good: Callable[[TraceRow], bool | None],
    text: Callable[[TraceRow], str],
) -> tuple[list[TraceRow], list[TraceRow]]:
    """Return the good and the bad ones, one of each text, in the order of `row_id`."""
    verdicts: dict[str, set[bool]] = defaultdict(set)
    first: dict[str, TraceRow] = {}
    for row in sorted(samples, key=lambda row: row["row_id"]):
        if (verdict := good(row)) is not None:
            verdicts[text(row)].add(verdict)
            first.setdefault(text(row), row)
    chosen = [row for told, row in first.items() if verdicts[told] == {True}]
    rejected = [row for told, row in first.items() if verdicts[told] == {False}]
    return chosen, rejected


def _order_by_chance(sides: tuple[TraceRow, TraceRow]) -> str:
    chosen, rejected = sides
    return digest("outcome", chosen["row_id"], rejected["row_id"])


def by_reflection(
    reflected: Iterable[TraceRow],
    chains: Iterable[TraceRow],
    *,
    text: Callable[[TraceRow], str] = think_text,
) -> list[Pair]:
    """Return the pairs among each chain's reflections and the chain itself.

    Args:
        reflected: Traces whose first parent is the chain they mend, and whose payload's `index`
            is the number of its steps that they keep. Of several at one index the one with the
            least `row_id` counts.
        chains: The chains as they were; reflections of any other are left alone.
        text: The text of a trace, as the student is to write it.
    """
    unmended = {row["row_id"]: row for row in chains}
    mended: dict[str, dict[int, TraceRow]] = defaultdict(dict)
    for row in sorted(reflected, key=lambda row: row["row_id"]):
        chain_id = row["parents"][0]
        if chain_id in unmended:
            mended[chain_id].setdefault(json.loads(row["payload"])["index"], row)
    pairs = []
    for chain_id, by_index in sorted(mended.items()):
        best_first = [row for _, row in sorted(by_index.items())] + [unmended[chain_id]]
        for better, worse in combinations(best_first, 2):
            if text(better) != text(worse):
                pairs.append(make_pair(better, worse, text, "process"))
    return pairs


PairRule = Callable[[Sequence[Pair]], list[bool]]


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
    rules: dict[Why, PairRule] = {"twice": _once}
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
