import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score, f1_score, precision_recall_fscore_support

from train.evals.agreement import (
    class_agreement,
    cohen_kappa,
    count_table,
    kappa_interval,
    macro_f1,
)
from train.evals.stats import Resampling

RESAMPLING = Resampling(resamples=5000, seed=1)
CLASSES = ("refusal", "partial", "compliance")
PAIRS = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1)

UNDEFINED: Any = np.nan  # its type says otherwise, its documentation knows it

Pairs = list[tuple[str, str]]


@settings(deadline=None)
@given(PAIRS)
def test_kappa_is_scikit_learns(pairs: Pairs) -> None:
    people, judge = [row for row, _ in pairs], [column for _, column in pairs]
    if len({*people, *judge}) == 1:
        assert cohen_kappa(people, judge) is None
        return
    assert cohen_kappa(people, judge) == pytest.approx(cohen_kappa_score(people, judge))


def test_kappa_of_nobody_is_none() -> None:
    assert cohen_kappa([], []) is None


def test_kappa_matches_a_worked_example() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.7, by chance 0.5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(*zip(*pairs, strict=True)) == pytest.approx(0.4)


@settings(deadline=None)
@given(PAIRS)
def test_each_class_fares_as_scikit_learn_says(pairs: Pairs) -> None:
    people, judge = [row for row, _ in pairs], [column for _, column in pairs]
    table = count_table(pairs, CLASSES)
    expected: Any = precision_recall_fscore_support(
        people, judge, labels=CLASSES, average=None, zero_division=UNDEFINED
    )
    for index, name in enumerate(CLASSES):
        found = class_agreement(table, index)
        for number, other in zip(
            (found.precision, found.sensitivity, found.f1), expected[:3], strict=True
        ):
            assert number.value == (None if np.isnan(other[index]) else pytest.approx(other[index]))
        others = [said for row, said in pairs if row != name]
        if others:
            clear = sum(said != name for said in others) / len(others)
            assert found.specificity.value == pytest.approx(clear)
        else:
            assert found.specificity.value is None
    used = sorted({*people, *judge})
    mean = f1_score(people, judge, labels=used, average="macro", zero_division=UNDEFINED)
    assert macro_f1(table) == pytest.approx(mean)


@given(PAIRS)
def test_shares_of_a_class_have_scipys_wilson_interval(pairs: Pairs) -> None:
    table = count_table(pairs, CLASSES)
    people, hits = int(table[0].sum()), int(table[0, 0])
    found = class_agreement(table, 0).sensitivity
    if people == 0:
        assert found.interval is None
        return
    expected = stats.binomtest(hits, people).proportion_ci(method="wilson")
    assert found.interval == pytest.approx((expected.low, expected.high))


@given(PAIRS)
def test_f1_lies_in_its_interval_and_perfection_has_a_width(pairs: Pairs) -> None:
    found = class_agreement(count_table(pairs, CLASSES), 0).f1
    assume(found.value is not None and found.interval is not None)
    assert found.interval is not None
    assert found.value is not None
    low, high = found.interval
    assert low - 1e-9 <= found.value <= high + 1e-9
    assert low < high


def test_the_interval_of_kappa_agrees_with_all_resamples_of_a_small_case() -> None:
    pairs = [("a", "a"), ("a", "a"), ("b", "b"), ("b", "a"), ("b", "b")]
    every = [
        kappa
        for drawn in itertools.product(pairs, repeat=5)
        if (kappa := cohen_kappa(*zip(*drawn, strict=True))) is not None
    ]
    found = kappa_interval(pairs, list("vwxyz"), ("a", "b"), RESAMPLING)
    assert found == pytest.approx(tuple(np.quantile(every, [0.025, 0.975])), abs=1e-9)


def test_the_interval_of_kappa_over_many_prompts_is_scipys() -> None:
    pairs = [("a", "a")] * 60 + [("b", "b")] * 30 + [("a", "b")] * 15 + [("b", "a")] * 5
    people, judge = (np.array([pair[rater] == "a" for pair in pairs]) for rater in (0, 1))

    def kappa(people: Any, judge: Any, axis: int) -> Any:
        seen = (people == judge).mean(axis=axis)
        p, j = people.mean(axis=axis), judge.mean(axis=axis)
        chance = p * j + (1 - p) * (1 - j)
        return (seen - chance) / (1 - chance)

    expected = stats.bootstrap(
        (people, judge),
        kappa,
        paired=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = kappa_interval(pairs, [str(i) for i in range(110)], ("a", "b"), RESAMPLING)
    assert found == pytest.approx((expected.low, expected.high), abs=0.02)


def test_answers_to_one_prompt_are_resampled_together() -> None:
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")] * 20
    apart = kappa_interval(pairs, [str(i) for i in range(80)], ("a", "b"), RESAMPLING)
    repeated = [pair for pair in pairs[:4] for _ in range(20)]
    clusters = [str(i // 20) for i in range(80)]
    together = kappa_interval(repeated, clusters, ("a", "b"), RESAMPLING)
    assert apart is not None
    assert together is not None
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_full_agreement_on_few_answers_is_not_certainty() -> None:
    pairs = [("a", "a"), ("b", "b")] * 10
    found = kappa_interval(pairs, [str(i) for i in range(20)], ("a", "b"), RESAMPLING)
    # Wilson's lower end of 20/20 is 0.839; half the agreement is by chance.
    assert found == pytest.approx((2 * 0.8389 - 1, 1), abs=1e-3)


def test_one_class_alone_has_no_kappa_and_no_interval() -> None:
    assert kappa_interval([("a", "a")] * 3, list("xyz"), ("a", "b"), RESAMPLING) is None
    assert kappa_interval([], [], ("a", "b"), RESAMPLING) is None
