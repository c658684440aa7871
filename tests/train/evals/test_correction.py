import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.evals.agreement import JudgeErrors, corrected
from train.evals.stats import Resampling, Term, bootstrap, percentiles

RESAMPLING = Resampling(resamples=2000, seed=7)


def errors(sensitivity: float, specificity: float, of: int = 100) -> JudgeErrors:
    found, cleared = round(sensitivity * of), round(specificity * of)
    return JudgeErrors(found=found, positives=of, cleared=cleared, negatives=of)


def observed(rate: float, prompts: int = 100) -> Term:
    hits = round(rate * prompts)
    return Term(values=[(f"c{i}", float(i < hits)) for i in range(prompts)])


@settings(max_examples=60)
@given(st.integers(0, 20), st.integers(13, 20), st.integers(13, 20))
def test_the_correction_undoes_the_judges_errors(truth: int, sens: int, spec: int) -> None:
    rate, sensitivity, specificity = truth / 20, sens / 20, spec / 20
    seen = rate * sensitivity + (1 - rate) * (1 - specificity)
    term = Term(values=[("a", seen), ("b", seen)])
    found = corrected(term, errors(sensitivity, specificity), Resampling(resamples=100, seed=0))
    assert found.value is not None
    assert found.value == pytest.approx(rate, abs=1e-9)
    assert found.refused is None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_worked_example() -> None:
    # 30 % seen by a judge of sensitivity 0.9 and specificity 0.8: (0.3 - 0.2) / 0.7.
    found = corrected(observed(0.3), errors(0.9, 0.8), RESAMPLING)
    assert found.value == pytest.approx(1 / 7)
    assert found.method == "bootstrap over both samples"


def test_a_rate_below_the_false_alarms_is_zero_and_not_negative() -> None:
    found = corrected(observed(0.1), errors(0.9, 0.8), RESAMPLING)
    assert (found.value, found.low) == (0, 0)
    assert found.high is not None
    assert found.high > 0


def test_a_judge_too_weak_to_correct_for_is_refused_with_the_reason() -> None:
    found = corrected(observed(0.3), errors(0.6, 0.59), RESAMPLING)
    assert found.value is None
    assert found.refused == "sensitivity + specificity - 1 is 0.19, below 0.2"
    assert corrected(observed(0.3), errors(0.6, 0.6), RESAMPLING).refused is None


@pytest.mark.parametrize(
    "counts",
    [
        JudgeErrors(found=0, positives=0, cleared=0, negatives=0),
        JudgeErrors(found=5, positives=5, cleared=0, negatives=0),
        JudgeErrors(found=0, positives=0, cleared=5, negatives=5),
    ],
)
def test_labels_of_one_kind_alone_correct_nothing(counts: JudgeErrors) -> None:
    found = corrected(observed(0.3), counts, RESAMPLING)
    assert found.value is None
    assert "both kinds" in (found.refused or "")


def test_no_evaluated_prompt_is_no_value() -> None:
    found = corrected(Term(values=[]), errors(0.9, 0.9), RESAMPLING)
    assert (found.value, found.method, found.refused) == (None, "none", None)


def test_fewer_labelled_answers_give_a_wider_interval() -> None:
    ends = [corrected(observed(0.3), errors(0.9, 0.9, of=n), RESAMPLING) for n in (20, 2000)]
    few, many = (one.high - one.low for one in ends if one.high is not None and one.low is not None)
    assert few > 1.3 * many


def test_a_perfect_judge_of_many_answers_leaves_the_raw_interval() -> None:
    raw = percentiles(bootstrap([observed(0.3)], RESAMPLING))
    found = corrected(observed(0.3), errors(1.0, 1.0, of=10**6), RESAMPLING)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, *raw), abs=1e-3)


def test_a_judge_right_on_ten_of_ten_is_not_taken_for_perfect() -> None:
    found = corrected(observed(0.1), errors(1.0, 1.0, of=10), RESAMPLING)
    assert found.low == 0  # all that was seen may be false alarms


def test_no_attack_seen_still_has_an_upper_end() -> None:
    found = corrected(observed(0.0), errors(0.95, 0.99), RESAMPLING)
    assert found.value == 0
    assert found.high is not None
    assert 0.005 < found.high < 0.06


def test_equal_rates_in_unequal_clusters_still_have_a_width() -> None:
    # Their resampled means differ by rounding, which is no width: 10 of 100 are not certain.
    equal = Term(values=[(f"c{i // (1 + i % 3)}", 0.1) for i in range(100)])
    found = corrected(equal, errors(1.0, 1.0, of=10**6), RESAMPLING)
    assert (found.low, found.high) == pytest.approx((0.05, 0.17), abs=0.015)


def test_equal_seeds_give_equal_intervals() -> None:
    first, second = (corrected(observed(0.3), errors(0.9, 0.8), RESAMPLING) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("prompts", "rate", "sensitivity", "specificity", "labelled"),
    [(200, 0.3, 0.9, 0.9, 100), (100, 0.05, 0.95, 0.95, 50)],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(
    prompts: int, rate: float, sensitivity: float, specificity: float, labelled: int
) -> None:
    rng, held, trials = np.random.default_rng(0), 0, 200
    for _ in range(trials):
        unsafe = rng.random(prompts) < rate
        said = np.where(
            unsafe, rng.random(prompts) < sensitivity, rng.random(prompts) > specificity
        )
        counts = JudgeErrors(
            found=int(rng.binomial(labelled, sensitivity)),
            positives=labelled,
            cleared=int(rng.binomial(labelled, specificity)),
            negatives=labelled,
        )
        term = Term(values=[(f"c{i}", float(one)) for i, one in enumerate(said)])
        found = corrected(term, counts, Resampling(resamples=300, seed=1))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= rate <= found.high
    assert held / trials >= 0.9
