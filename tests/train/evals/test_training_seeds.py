import numpy as np
import pytest

from train.evals.stats import Resampling, Term, estimate, nested_estimate

RESAMPLING = Resampling(resamples=2000, seed=3)


def student(rate: float, prompts: int = 40, seed: int = 0) -> list[Term]:
    rng = np.random.default_rng(seed)
    values = (rng.random(prompts) < rate).astype(float)
    return [Term(values=[(f"c{i}", float(value)) for i, value in enumerate(values)])]


def test_the_value_is_the_mean_over_students() -> None:
    students = [student(rate, seed=seed) for seed, rate in enumerate((0.2, 0.5, 0.9))]
    found = nested_estimate(students, RESAMPLING)
    assert found.value is not None
    assert found.value == pytest.approx(np.mean([one[0].mean for one in students]))
    assert found.method == "two-level bootstrap"
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize("number", [1, 2])
def test_fewer_than_three_students_support_no_claim(number: int) -> None:
    found = nested_estimate([student(0.3, seed=seed) for seed in range(number)], RESAMPLING)
    assert found.value is not None
    assert (found.low, found.high, found.method) == (None, None, "none")


def test_students_that_differ_make_the_interval_wider_than_their_prompts_do() -> None:
    rates = (0.0, 0.5, 1.0)
    students = [student(rate, prompts=400, seed=seed) for seed, rate in enumerate(rates)]
    pooled = estimate(
        [Term(values=[pair for [term] in students for pair in term.values])], RESAMPLING
    )
    found = nested_estimate(students, RESAMPLING)
    assert found.high is not None
    assert found.low is not None
    assert pooled.high is not None
    assert pooled.low is not None
    assert found.high - found.low > 5 * (pooled.high - pooled.low)


def test_prompts_stay_paired_within_each_student() -> None:
    # Each student beats its baseline on every prompt by the same, whatever the prompts are.
    values = [0.0, 0.25, 0.5, 0.75]
    students = [
        [
            Term(values=[(f"c{i}", value + gain) for i, value in enumerate(values)]),
            Term(values=[(f"c{i}", value) for i, value in enumerate(values)], weight=-1.0),
        ]
        for gain in (0.10, 0.12, 0.14)
    ]
    found = nested_estimate(students, RESAMPLING)
    assert found.value == pytest.approx(0.12)
    assert found.low == pytest.approx(0.12 - 0.02 * 2.69, abs=2e-3)  # the students' own spread


def test_students_alike_in_all_have_wilsons_interval_and_no_point() -> None:
    found = nested_estimate([student(0.0, prompts=100)] * 3, RESAMPLING)
    assert (found.low, found.high) == pytest.approx((0, 0.037), abs=5e-4)
    assert found.method == "wilson"


def test_nothing_asked_is_no_estimate() -> None:
    assert nested_estimate([], RESAMPLING).value is None
    assert nested_estimate([[Term(values=[])]] * 3, RESAMPLING).value is None


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held, trials = np.random.default_rng(5), 0, 150
    for _ in range(trials):
        prompts = rng.normal(0, 0.5, 40)
        students = []
        for own in rng.normal(0, 1, 3):
            values = prompts + own + rng.normal(0, 0.5, 40)
            students.append([Term(values=[(f"c{i}", v) for i, v in enumerate(values)])])
        found = nested_estimate(students, Resampling(resamples=300, seed=1))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / trials <= 0.995
