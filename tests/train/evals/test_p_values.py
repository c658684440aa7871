import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.evals.stats import Resampling, Term, detectable, holm, mcnemar_p, sign_flip_p

RESAMPLING = Resampling(resamples=2000, seed=7)
RATES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=12)


def term(values: list[float], weight: float = 1.0) -> Term:
    return Term(values=[(f"c{i}", value) for i, value in enumerate(values)], weight=weight)


def contributions(differences: list[float]) -> list[Term]:
    return [
        term([max(d, 0.0) for d in differences]),
        term([max(-d, 0.0) for d in differences], -1.0),
    ]


@settings(max_examples=40)
@given(st.lists(st.integers(-4, 4), min_size=2, max_size=8))
def test_sign_flips_match_brute_force(quarters: list[int]) -> None:
    differences = [quarter / 4 for quarter in quarters]
    observed = abs(sum(differences))
    flipped = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = np.mean([value >= observed - 1e-9 for value in flipped])
    assert sign_flip_p(contributions(differences), RESAMPLING) == pytest.approx(expected)


def scipys_p(differences: list[float], resamples: int) -> float:
    return stats.permutation_test(
        (np.array(differences),),
        lambda values, axis: np.round(values.sum(axis=axis), 9),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(0),
    ).pvalue


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.3, 0.1, 0.2, 0.7]), min_size=2, max_size=10))
def test_sign_flips_of_few_clusters_are_scipys_exact_test(differences: list[float]) -> None:
    found = sign_flip_p(contributions(differences), RESAMPLING)
    assert found == pytest.approx(scipys_p(differences, 2000))


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("steps", [8, 100, 10**6])  # drawn by kind, then one by one
def test_sign_flips_of_many_clusters_are_scipys_within_chance(shift: float, steps: int) -> None:
    values = np.random.default_rng(5).normal(shift, 0.4, 400)
    differences = list(np.clip(np.round(values * steps) / steps, -1, 1))
    found = sign_flip_p(contributions(differences), Resampling(resamples=10_000, seed=1))
    expected = scipys_p(differences, 10_000)
    error = math.sqrt(expected * (1 - expected) / 10_000)
    assert found == pytest.approx(expected, abs=5 * error + 2e-4)  # of scipy's sides, doubled
    assert found == sign_flip_p(contributions(differences), Resampling(resamples=10_000, seed=1))


@given(st.integers(0, 900), st.integers(0, 900))
def test_sign_flips_of_one_kind_of_cluster_are_mcnemars_test(first: int, second: int) -> None:
    differences = [1.0] * first + [-1.0] * second + [0.0]
    found = sign_flip_p(contributions(differences), RESAMPLING)
    assert found == pytest.approx(mcnemar_p(first, second))


def test_drawn_sign_flips_never_have_a_p_of_zero() -> None:
    assert sign_flip_p(contributions([0.5, 1.0] * 400), RESAMPLING) == 1 / 2001


@settings(max_examples=50)
@given(RATES)
def test_models_alike_but_for_rounding_do_not_differ(values: list[float]) -> None:
    turned = [1 - value for value in values]
    terms = [term(values), term(turned, -1.0), term(values, -1.0), term(turned)]
    assert sign_flip_p(terms, RESAMPLING) == 1


@given(st.integers(0, 25), st.integers(0, 25))
def test_mcnemar_matches_brute_force(first: int, second: int) -> None:
    n, least = first + second, min(first, second)
    tail = sum(math.comb(n, k) for k in range(least + 1)) / 2**n
    assert mcnemar_p(first, second) == pytest.approx(min(1.0, 2 * tail))


def test_holm_matches_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    everyone = range(len(p_values))
    for index, adjusted in zip(everyone, holm(p_values), strict=True):
        others = [other for other in everyone if other != index]
        closed = (
            (len(more) + 1) * min(p_values[one] for one in (index, *more))
            for size in range(len(p_values))
            for more in itertools.combinations(others, size)
        )
        assert adjusted == pytest.approx(min(1.0, max(closed)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in ranked] == sorted(adjusted)


def test_the_detectable_difference_is_that_of_the_evaluation_guide() -> None:
    # 300 prompts with 10 % discordant pairs find about 5 points, with 20 % about 7.
    for discordant, expected in ((30, 0.05), (60, 0.07)):
        half = discordant // 2
        first = [1.0] * half + [0.0] * half + [1.0] * (300 - discordant)
        second = [0.0] * half + [1.0] * half + [1.0] * (300 - discordant)
        terms = [term(first), term(second, -1.0)]
        assert detectable(terms, RESAMPLING) == pytest.approx(expected, abs=0.005)


def test_agreeing_on_every_one_of_few_prompts_is_no_power() -> None:
    for prompts, detects_ten_points in ((3, False), (30, False), (100, True), (300, True)):
        same = [1.0, 0.0] * (prompts // 2) + [1.0] * (prompts % 2)
        found = detectable([term(same), term(same, -1.0)], RESAMPLING)
        assert found > 0
        assert (found <= 0.10) is detects_ten_points
