import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from train.evals.stats import Resampling, Term, detectable, enough, required_prompts

RESAMPLING = Resampling(resamples=2000, seed=7)


def paired(first_only: int, second_only: int, both: int) -> list[Term]:
    first = [1.0] * first_only + [0.0] * second_only + [1.0] * both
    second = [0.0] * first_only + [1.0] * second_only + [1.0] * both
    return [
        Term(values=[(f"c{i}", value) for i, value in enumerate(values)], weight=weight)
        for values, weight in ((first, 1.0), (second, -1.0))
    ]


def mcnemar_power(prompts: int, discordant: float, difference: float) -> float:
    """The power of the asymptotic test, over every number of prompts that may differ."""
    share = (discordant + difference) / (2 * discordant)
    power = 0.0
    for differing in range(1, prompts + 1):
        weight = stats.binom.pmf(differing, prompts, discordant)
        needed = (differing + 1.959964 * math.sqrt(differing)) / 2
        power += weight * stats.binom.sf(math.ceil(needed) - 1, differing, share)
    return float(power)


@pytest.mark.parametrize(
    ("discordant", "difference"), [(0.1, 0.05), (0.2, 0.1), (0.3, 0.1), (0.25, 0.07)]
)
def test_as_many_prompts_as_required_have_that_power(discordant: float, difference: float) -> None:
    needed = required_prompts(discordant, difference)
    assert mcnemar_power(needed, discordant, difference) == pytest.approx(0.8, abs=0.03)


def test_the_evaluation_guides_figures() -> None:
    # 300 prompts with 10 % discordant pairs find about 5 points, with 20 % about 7.
    assert required_prompts(0.1, 0.05) == pytest.approx(300, rel=0.05)
    assert required_prompts(0.2, 0.07) == pytest.approx(300, rel=0.1)


@given(st.floats(0.02, 1), st.floats(0.01, 0.99))
def test_more_disagreement_and_smaller_differences_need_more(
    discordant: float, part: float
) -> None:
    difference = discordant * part
    needed = required_prompts(discordant, difference)
    assert required_prompts(discordant, difference * 0.9) >= needed
    assert required_prompts(min(1.0, discordant * 1.1), difference) >= needed


@pytest.mark.parametrize(("discordant", "difference"), [(0.1, 0.2), (0.1, 0.0), (1.5, 0.1)])
def test_a_difference_larger_than_the_disagreement_is_refused(
    discordant: float, difference: float
) -> None:
    with pytest.raises(ValueError, match="no difference"):
        required_prompts(discordant, difference)


def test_enough_says_whether_ten_points_would_show() -> None:
    assert enough(detectable(paired(15, 15, 270), RESAMPLING))
    assert not enough(detectable(paired(15, 15, 30), RESAMPLING))
    assert not enough(detectable(paired(0, 0, 10), RESAMPLING))
    assert not enough(None)
