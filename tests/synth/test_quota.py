"""How many candidates the cells of a quota get: rules that always hold, and what they cost."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.quota import BARREN_AFTER, PILOT, Samples, Tally, next_round
from synth.records import Cell


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    ended = draw(st.lists(st.integers(0, 300), max_size=3))
    samples = [Samples(n, draw(st.integers(0, n))) for n in ended]
    return Tally(target=draw(st.integers(0, 200)), samples=samples, open=draw(st.integers(0, 99)))


def names(count: int) -> list[Cell]:
    return [("srg", "benign", f"c{index:03d}") for index in range(count)]


cells = st.lists(tallies(), max_size=12).map(
    lambda found: dict(zip(names(12), found, strict=False))
)


@given(cells, st.integers(-10, 5_000))
def test_a_round_keeps_its_bounds(found: dict[Cell, Tally], budget: int) -> None:
    plan = next_round(found, budget)
    assert sum(plan.values()) <= max(0, budget)
    assert plan == next_round(dict(reversed(found.items())), budget), "it depends on nothing else"
    for cell, wanted in plan.items():
        tally = found[cell]
        assert wanted > 0
        assert tally.kept < tally.target, "a cell that is met gets nothing"
        assert not tally.barren
        assert wanted + tally.open <= max(PILOT, tally.ended), "no leap beyond what was tried"


@given(cells, st.integers(1, 5_000))
def test_there_is_a_next_round_as_long_as_something_can_be_done(
    found: dict[Cell, Tally], budget: int
) -> None:
    ended = {
        cell: Tally(target=tally.target, samples=tally.samples) for cell, tally in found.items()
    }
    due = any(tally.kept < tally.target and not tally.barren for tally in ended.values())
    assert bool(next_round(ended, budget)) == due


def test_open_candidates_are_expected_to_give_their_share() -> None:
    [cell] = names(1)
    even = [Samples(400, 200)]
    assert next_round({cell: Tally(target=300, samples=even)}, 9_999)[cell] == pytest.approx(220, 2)
    halfway = Tally(target=300, samples=even, open=100)
    assert next_round({cell: halfway}, 9_999)[cell] == pytest.approx(110, 2)
    assert next_round({cell: Tally(target=300, samples=even, open=220)}, 9_999) == {}


def test_a_cell_without_evidence_leans_on_its_recipe_and_label() -> None:
    others = {cell: Tally(target=9, samples=[Samples(100, 10)]) for cell in names(5)}
    fresh = {("srg", label, "new"): Tally(target=2) for label in ("benign", "harmful")}
    plan = next_round(others | fresh, 9_999)
    assert plan["srg", "benign", "new"] > 3 * plan["srg", "harmful", "new"]


def test_what_can_be_met_with_least_is_served_first() -> None:
    cheap, dear, dearest = names(3)
    found = {
        cheap: Tally(target=100, samples=[Samples(100, 90)]),
        dear: Tally(target=100, samples=[Samples(100, 50)]),
        dearest: Tally(target=100, samples=[Samples(100, 1)]),
    }
    plan = next_round(found, 125)
    assert plan.keys() == {cheap, dear}
    assert next_round(found, 10) == {cheap: 10}


def test_further_samples_of_seeds_that_give_nothing_end() -> None:
    [cell] = names(1)
    stuck = [Samples(100, 60), Samples(40, 0), Samples(40, 0)]
    assert next_round({cell: Tally(target=80, samples=stuck)}, 9_999)
    stuck.append(Samples(40, 0))
    assert Tally(target=80, samples=stuck).barren
    assert next_round({cell: Tally(target=80, samples=stuck)}, 9_999) == {}


class Simulated:
    """A run of cells whose candidates are kept with fixed chances, a tenth of each round late."""

    def __init__(self, chances: Sequence[float], quota: int, budget: int) -> None:
        self.cells, self.chances = names(len(chances)), np.array(chances)
        self.ended, self.kept = np.zeros((2, len(chances)), int)
        self.counts = 0
        draw = np.random.default_rng(20)
        open_now = np.zeros(0, int)
        while True:
            plan = self._plan(open_now, quota, budget - self.ended.sum() - len(open_now))
            if not plan and not len(open_now):
                return
            asked = np.repeat(np.arange(len(chances)), [plan.get(cell, 0) for cell in self.cells])
            waiting = np.concatenate([open_now, asked])
            draw.shuffle(waiting)
            late = len(asked) // 10
            self._end(waiting[late:], draw)
            open_now = waiting[:late]

    def _plan(self, open_now: np.ndarray, quota: int, budget: int) -> dict[Cell, int]:
        self.counts += 1
        still = np.bincount(open_now, minlength=len(self.cells))
        found = {
            cell: Tally(
                target=quota,
                samples=[Samples(int(self.ended[i]), int(self.kept[i]))],
                open=int(still[i]),
            )
            for i, cell in enumerate(self.cells)
        }
        return next_round(found, int(budget))

    def _end(self, candidates: np.ndarray, draw: np.random.Generator) -> None:
        np.add.at(self.ended, candidates, 1)
        np.add.at(self.kept, candidates, draw.random(len(candidates)) < self.chances[candidates])

    def over_ideal(self, quota: int) -> float:
        able = self.chances > 0
        return self.ended[able].sum() / (quota / self.chances[able]).sum()


@pytest.mark.parametrize("chance", [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_quota_takes_little_more_than_the_ideal_number(chance: float) -> None:
    run = Simulated([chance] * 50, quota=200, budget=int(3 * 50 * 200 / chance))
    assert (run.kept >= 200).sum() >= 49
    assert run.over_ideal(200) <= 1.1
    assert run.counts <= 40


def test_cells_that_give_nothing_cost_little_and_starve_nobody() -> None:
    run = Simulated([0.0] * 20 + [0.02] * 5 + [0.4] * 25, quota=200, budget=20_000)
    assert run.ended[:20].max() <= BARREN_AFTER <= 100
    assert (run.kept[25:] >= 200).all()
    assert run.ended.sum() <= 20_000


def test_cells_of_all_kinds_are_met() -> None:
    run = Simulated(np.linspace(0.05, 0.95, 40).tolist(), quota=200, budget=60_000)
    assert (run.kept >= 200).all()
    assert run.over_ideal(200) <= 1.1
