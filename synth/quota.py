"""How many candidates each cell of a quota gets next: plain counts in, plain counts out.

A candidate is an item of a recipe's first step. A cell begins with a pilot, and no round gives it
more than it has tried by then, so that neither a lucky nor an unlucky start costs much. Its
acceptance is estimated sample by sample: a seed's further samples may be kept more rarely than its
first, and what the samples before have shown is where the estimate of the next begins. The
estimate of the first begins with what all cells of its recipe and label have shown.

Planning ends: a round without open candidates either plans at least one, out of a budget that it
makes smaller, or finds every cell met, barren or without budget. The constants were chosen by
simulating cells of 2 to 95 % acceptance (`tests/synth/test_quota.py`).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from synth.records import Cell

PILOT = 32  # candidates, before a cell has shown anything
OVERSHOOT = 1.1  # of what is missing: acceptance differs from round to round
FIRST_ACCEPTANCE = 1.0  # assumed before any cell has shown anything: the rest comes next round
PRIOR_CANDIDATES = 16  # so many weigh what others, or earlier samples, have shown
BARREN_AFTER = 96  # candidates in a row without a kept one: the cell gets no more


class Samples(NamedTuple):
    """What became of a cell's candidates of one sample index.

    Attributes:
        ended: Those that have ended, whatever their outcome.
        kept: Traces of theirs that curation keeps.
    """

    ended: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How a cell stands.

    Attributes:
        target: Kept traces that are wanted of it.
        samples: By sample index, in their order.
        open: Candidates that are planned and have not ended.
    """

    target: int
    samples: Sequence[Samples] = ()
    open: int = 0

    @property
    def ended(self) -> int:
        """Candidates that have ended."""
        return sum(part.ended for part in self.samples)

    @property
    def kept(self) -> int:
        """Traces that curation keeps."""
        return sum(part.kept for part in self.samples)

    @property
    def in_vain(self) -> int:
        """Candidates of the last samples of which none was kept."""
        total = 0
        for part in reversed(self.samples):
            if part.kept:
                break
            total += part.ended
        return total

    @property
    def barren(self) -> bool:
        """Whether so many gave nothing that it gets no more."""
        return self.kept < self.target and self.in_vain >= BARREN_AFTER


def next_round(tallies: Mapping[Cell, Tally], budget: int) -> dict[Cell, int]:
    """Return how many further candidates each cell gets; cells that get none are left out.

    Cells that have tried nothing come first. Of the others, those that can be met with least come
    first, and what each is expected to take in all is set aside for it: the rest of the budget is
    what the next ones may use.

    Args:
        tallies: How every cell stands.
        budget: Candidates that may still be planned.
    """
    shown = _pooled(tallies)
    needs = {cell: _need(tally, shown[cell[:2]]) for cell, tally in tallies.items()}
    plan: dict[Cell, int] = {}
    left = max(0, budget)
    for cell in sorted(tallies, key=lambda cell: (_tried(tallies[cell]) > 0, needs[cell], cell)):
        tally, need = tallies[cell], needs[cell]
        turn = min(need, left, _most(tally))
        if turn > 0:
            plan[cell] = turn
        left -= min(left, need if _tried(tally) else max(turn, 0))
    return plan


def _tried(tally: Tally) -> int:
    return tally.ended + tally.open


def _need(tally: Tally, shown: float) -> int:
    """Return how many more candidates a cell takes: what is missing / acceptance x `OVERSHOOT`.

    Open candidates are expected to be kept as often as those that have ended.
    """
    acceptance = _acceptance(tally, shown)
    missing = tally.target - tally.kept - tally.open * acceptance
    if tally.barren or missing <= 0:
        return 0
    return math.ceil(missing / acceptance * OVERSHOOT)


def _most(tally: Tally) -> int:
    """Return how many more candidates a cell may have open after this round."""
    most = max(PILOT, tally.ended)
    if not tally.kept or tally.in_vain:
        most = min(most, BARREN_AFTER - tally.in_vain)
    return most - tally.open


def _acceptance(tally: Tally, shown: float) -> float:
    """Return the share of the next candidates that is expected to be kept."""
    for ended, kept in tally.samples:
        shown = (kept + PRIOR_CANDIDATES * shown) / (ended + PRIOR_CANDIDATES)
    return shown


def _pooled(tallies: Mapping[Cell, Tally]) -> dict[tuple[str, ...], float]:
    """Return the share that was kept of all candidates of each recipe and label."""
    ended, kept = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for cell, tally in tallies.items():
        ended[cell[:2]] += tally.ended
        kept[cell[:2]] += tally.kept
    before = PRIOR_CANDIDATES
    return {
        kind: (kept[kind] + before * FIRST_ACCEPTANCE) / (ended[kind] + before) for kind in ended
    }
