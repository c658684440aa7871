"""Caps and balance leave pairs out, say why, and never make one up."""

from collections import Counter
from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from synth.recipes.pairs import Pair, balance

LABELS = ("harmful", "benign", "borderline")


def make_pair(seed: int, kind: str, number: int = 0, label: str = "harmful") -> Pair:
    return Pair(
        seed_id=f"{label} {seed}",
        label=label,
        category="test",
        prompt=({"role": "user", "content": f"{label} question {seed}?"},),
        chosen=f"good {number}",
        rejected=f"bad {kind}",
        kind=kind,
        chosen_id=f"{label} {seed} {number} good",
        rejected_id=f"{label} {seed} {number} bad",
    )


PAIRS = st.lists(
    st.builds(
        make_pair,
        st.integers(0, 5),
        st.sampled_from(("outcome", "process")),
        st.integers(0, 4),
        st.sampled_from(LABELS),
    ),
    max_size=60,
)
WEIGHTS = st.sampled_from((0.5, 1.0, 2.0, 3.0))
CAPS = st.none() | st.integers(1, 4)
KINDS = st.none() | st.fixed_dictionaries({"outcome": WEIGHTS, "process": WEIGHTS})
SIDES = st.none() | st.fixed_dictionaries({"harmful": WEIGHTS, "other": WEIGHTS})


def row_id(pair: Pair) -> str:
    return pair.row_id


def side(pair: Pair) -> str:
    return "harmful" if pair.label == "harmful" else "other"


def in_ratio(counts: Counter[str], weights: dict[str, float], slack: int) -> bool:
    """Say whether no group is larger than the others allow, within so many pairs."""
    shares = [count / weights[group] for group, count in counts.items()]
    return all(
        count <= weights[group] * min(shares) + weights[group] / min(weights.values()) + slack
        for group, count in counts.items()
    )


@given(PAIRS, CAPS, SIDES, KINDS)
def test_caps_and_ratios_are_kept_and_every_pair_is_accounted_for(
    pairs: list[Pair],
    per_seed: int | None,
    labels: dict[str, float] | None,
    kinds: dict[str, float] | None,
) -> None:
    found = balance(pairs, per_seed=per_seed, labels=labels, kinds=kinds)
    everything = [*found.kept, *(pair for left in found.left_out.values() for pair in left)]
    assert Counter(map(row_id, everything)) == Counter(map(row_id, pairs))
    assert len({pair.row_id for pair in found.kept}) == len(found.kept)
    if per_seed is not None:
        assert all(n <= per_seed for n in Counter((p.seed_id, p.kind) for p in found.kept).values())
    if kinds is not None:
        assert in_ratio(Counter(p.kind for p in found.kept), kinds, slack=0)
    if labels is not None:
        for kind in ("outcome", "process"):
            sides = Counter(side(p) for p in found.kept if p.kind == kind)
            assert in_ratio(sides, labels, slack=1)


@given(PAIRS, CAPS, SIDES, KINDS, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_has_no_say(
    pairs: list[Pair],
    per_seed: int | None,
    labels: dict[str, float] | None,
    kinds: dict[str, float] | None,
    random: Random,
) -> None:
    shuffled = random.sample(pairs, len(pairs))
    found = balance(pairs, per_seed=per_seed, labels=labels, kinds=kinds)
    assert balance(shuffled, per_seed=per_seed, labels=labels, kinds=kinds) == found


@given(PAIRS)
def test_without_rules_only_repeats_are_left_out(pairs: list[Pair]) -> None:
    found = balance(pairs)
    different = sorted({pair.row_id for pair in pairs})
    assert [pair.row_id for pair in found.kept] == different
    assert len(found.left_out["twice"]) == len(pairs) - len(different)


def kinds_of(pairs: Sequence[Pair]) -> dict[str, int]:
    return dict(Counter(pair.kind for pair in pairs))


def test_the_larger_kind_is_cut_to_the_ratio() -> None:
    pairs = [make_pair(i, "outcome") for i in range(10)]
    pairs += [make_pair(i, "process") for i in range(3)]
    found = balance(pairs, kinds={"outcome": 2.0, "process": 1.0})
    assert kinds_of(found.kept) == {"outcome": 6, "process": 3}
    assert kinds_of(found.left_out["kinds"]) == {"outcome": 4}


def test_a_kind_that_there_is_none_of_empties_no_other() -> None:
    pairs = [make_pair(i, "outcome") for i in range(4)]
    assert len(balance(pairs, kinds={"outcome": 1.0, "process": 1.0}).kept) == 4


def test_labels_are_balanced_within_a_kind_and_stay_so_when_it_is_cut() -> None:
    pairs = [make_pair(i, "outcome") for i in range(20)]
    pairs += [make_pair(i, "outcome", label="benign") for i in range(6)]
    pairs += [make_pair(i, "process") for i in range(4)]
    even = {"harmful": 1.0, "other": 1.0}
    found = balance(pairs, labels=even, kinds={"outcome": 1.0, "process": 1.0})
    outcome = Counter(side(pair) for pair in found.kept if pair.kind == "outcome")
    assert outcome == {"harmful": 2, "other": 2}
    assert kinds_of(found.left_out["labels"]) == {"outcome": 14}
    assert kinds_of(found.left_out["kinds"]) == {"outcome": 8}


def test_a_cap_is_of_a_kind_and_a_seed() -> None:
    pairs = [make_pair(0, kind, n) for kind in ("outcome", "process") for n in range(5)]
    found = balance(pairs, per_seed=2)
    assert kinds_of(found.kept) == {"outcome": 2, "process": 2}
    assert kinds_of(found.left_out["per_seed"]) == {"outcome": 3, "process": 3}
