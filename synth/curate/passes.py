"""The passes that compare the traces of one arm with each other and with evaluation prompts.

Each takes the candidates that are left, in the order of `row_id`, and returns those it drops
with a detail. None depends on the order in which traces were made or read.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from synth.curate.closer import Looks
from synth.curate.policy import Policy
from synth.curate.rules import Drop, Dropped
from synth.records import digest
from synth.seeds.near_duplicates import contaminated, near_duplicates

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


class Candidate(NamedTuple):
    """A trace nothing speaks against by itself.

    Attributes:
        row_id: The trace.
        seed_id: Its prompt.
        group: Key that it shares with its twin: the pair, or the seed alone.
        label: Of the prompt.
        category: Of the prompt.
        consistent: Label, decision and answer fit together.
        repeated_share: Share of repeated word 4-grams.
        num_words: Of reasoning and answer.
        sample_index: Which of its seed's samples it is.
    """

    row_id: str
    seed_id: str
    group: str
    label: str
    category: str
    consistent: bool
    repeated_share: float
    num_words: int
    sample_index: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the passes compare with.

    Attributes:
        policy: The rules.
        texts: Each seed's conversation, the users' turns.
        evaluation_prompts: What students are tested on, by id.
        max_rows: So many candidates at most, chosen for diversity; None keeps all.
        looks: What a closer look told of each candidate; needed where `max_rows` is given.
        apart: Seeds that are known to be near none of each other, nor any evaluation prompt.
    """

    policy: Policy
    texts: Mapping[str, str]
    evaluation_prompts: Mapping[str, str]
    max_rows: int | None = None
    looks: Looks = field(default_factory=dict)
    apart: AbstractSet[str] = frozenset()


Details = dict[str, str]
Group = tuple[str, ...]
Pass = Callable[[Sequence[Candidate], Surroundings], Details]


def compare_candidates(candidates: Iterable[Candidate], around: Surroundings) -> dict[str, Dropped]:
    """Return what all passes drop of one arm's candidates, with the first reason of each."""
    left = sorted(candidates)
    dropped: dict[str, Dropped] = {}
    for reason, find in _PASSES:
        found = find(left, around)
        dropped |= {row_id: Dropped(reason, detail) for row_id, detail in found.items()}
        left = [candidate for candidate in left if candidate.row_id not in found]
    return dropped


def _contaminated(candidates: Sequence[Candidate], around: Surroundings) -> Details:
    seeds = {c.seed_id for c in candidates} - around.apart
    texts = {seed_id: around.texts[seed_id] for seed_id in seeds}
    near = contaminated(texts, around.evaluation_prompts, around.policy.decontaminate)
    return {c.row_id: near[c.seed_id] for c in candidates if c.seed_id in near}


def _near_duplicates(candidates: Sequence[Candidate], around: Surroundings) -> Details:
    """Compare prompts within one label: twins across labels are alike on purpose."""
    by_label: dict[str, set[str]] = defaultdict(set)
    for c in candidates:
        by_label[c.label].add(c.seed_id)
    near: dict[str, str] = {}
    for seeds in by_label.values():
        if not seeds <= around.apart:
            texts = {seed_id: around.texts[seed_id] for seed_id in seeds}
            near |= near_duplicates(texts, around.policy.near_duplicate)
    return {c.row_id: near[c.seed_id] for c in candidates if c.seed_id in near}


def _surplus_siblings(candidates: Sequence[Candidate], around: Surroundings) -> Details:
    """Keep the best of each seed: see `_quality`."""
    limit = around.policy.per_prompt
    return {
        c.row_id: f"place {place + 1}, {limit} are kept"
        for place, c in _placed(candidates)
        if place >= limit
    }


def _unbalanced(candidates: Sequence[Candidate], around: Surroundings) -> Details:
    """Cap the categories, then bring the labels into their ratio.

    First places of all seeds go before second places, and seeds in the order of a digest of
    their group, so that arms keep the same seeds and twins stay together where they can.
    """
    balance = around.policy.balance
    ordered = [c for _, c in sorted(_placed(candidates), key=_turn)]
    caps: dict[Group, int] = {}
    if balance.category_cap is not None:
        caps = {(c.label, c.category): balance.category_cap for c in ordered}
    dropped = _beyond(ordered, lambda c: (c.label, c.category), caps)
    left = [c for c in ordered if c.row_id not in dropped]
    have = Counter(c.label for c in left)
    ratios = {label: r for label, r in (balance.labels or {}).items() if have[label]}
    unit = min((have[label] / ratio for label, ratio in ratios.items()), default=0.0)
    # The small addition keeps 3 / 0.3 * 0.3 at 3; every label that has rows keeps one.
    quotas: dict[Group, int] = {
        (label,): max(1, int(unit * ratio + 1e-9)) for label, ratio in ratios.items()
    }
    return dropped | _beyond(left, lambda c: (c.label,), quotas)


def _less_diverse(candidates: Sequence[Candidate], around: Surroundings) -> Details:
    if around.max_rows is None:
        return {}
    looks = ((c.row_id, around.looks[c.row_id]) for c in candidates)
    rows = [(row_id, look.source, look.categories) for row_id, look in looks]
    detail = f"{around.max_rows} are kept"
    return dict.fromkeys(select_diverse(rows, around.max_rows), detail)


def _beyond(
    ordered: Iterable[Candidate], kind_of: Callable[[Candidate], Group], limits: Mapping[Group, int]
) -> Details:
    """Return the candidates that come after their kind's limit, where it has one."""
    seen: Counter[Group] = Counter()
    beyond: Details = {}
    for c in ordered:
        kind = kind_of(c)
        seen[kind] += 1
        if kind in limits and seen[kind] > limits[kind]:
            beyond[c.row_id] = f"{limits[kind]} of its kind are kept"
    return beyond


def _placed(candidates: Sequence[Candidate]) -> list[tuple[int, Candidate]]:
    """Return every candidate with its place among the traces of its seed, 0 for the best."""
    lengths: dict[str, list[int]] = defaultdict(list)
    for c in candidates:
        lengths[c.label].append(c.num_words)
    medians = {label: median(counts) for label, counts in lengths.items()}
    taken: Counter[str] = Counter()
    placed = []
    for c in sorted(candidates, key=lambda c: _quality(c, medians[c.label])):
        placed.append((taken[c.seed_id], c))
        taken[c.seed_id] += 1
    return placed


def _quality(candidate: Candidate, median_words: float) -> tuple[bool, float, float, str]:
    """Order siblings, the best first.

    Consistent ones, then less repetitive ones (to a tenth), then those near the median length
    of the arm's traces of that label, then by digest.
    """
    return (
        not candidate.consistent,
        round(candidate.repeated_share, 1),
        abs(candidate.num_words - median_words),
        candidate.row_id,
    )


def _turn(placed: tuple[int, Candidate]) -> tuple[int, str, str]:
    place, candidate = placed
    return place, digest("balance", candidate.group), candidate.row_id


_PASSES: tuple[tuple[Drop, Pass], ...] = (
    (Drop.CONTAMINATED, _contaminated),
    (Drop.NEAR_DUPLICATE, _near_duplicates),
    (Drop.SURPLUS_SIBLING, _surplus_siblings),
    (Drop.UNBALANCED, _unbalanced),
    (Drop.LESS_DIVERSE, _less_diverse),
)
