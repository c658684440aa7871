"""What a run will take, before it runs: rows, leases, tokens, hours of engines."""

from dataclasses import dataclass
from statistics import fmean

from synth.ledger import owed, read_traces
from synth.plan import lease_rows
from synth.rounds import Accepted, due_items
from synth.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is left to do of a run.

    Attributes:
        rows: Rows still to be made; under a quota those of the next round.
        budget: Rows that a quota may take in all; None without one.
        leases: Files they will stand in.
        full_tokens: New tokens, if every row used its whole `max_tokens` once.
        expected_tokens: New tokens at the mean of the rows made so far; None before the first.
        has_later_steps: A recipe has steps whose rows follow from traces that are not there yet.
    """

    rows: int
    budget: int | None
    leases: int
    full_tokens: int
    expected_tokens: int | None
    has_later_steps: bool

    @property
    def tokens(self) -> int:
        """New tokens, the better of the two estimates."""
        return self.full_tokens if self.expected_tokens is None else self.expected_tokens

    def engine_hours(self, tokens_per_s: float) -> float:
        """Return the hours that one replica works which makes so many tokens a second."""
        return self.tokens / tokens_per_s / 3600


def estimate(run: Run, accepted: Accepted) -> Estimate:
    """Return what the run would still have to make; nothing is planned.

    Args:
        run: The run.
        accepted: Counts accepted traces, for a quota.
    """
    fresh = len(due_items(run, accepted))
    waiting = owed(run.workspace)
    rows = fresh + sum(lease.num_rows for lease in waiting)
    mean = _mean_tokens(run)
    return Estimate(
        rows=rows,
        budget=None if run.config.accepted is None else run.config.accepted.budget,
        leases=len(waiting) + -(-fresh // lease_rows(fresh)),
        full_tokens=rows * run.config.sampling.max_tokens,
        expected_tokens=None if mean is None else round(rows * mean),
        has_later_steps=any(len(recipe.steps) > 1 for recipe in run.recipes.values()),
    )


def _mean_tokens(run: Run) -> float | None:
    table = read_traces(run.workspace, columns=["output_tokens"])
    return fmean(table["output_tokens"].to_pylist()) if len(table) else None
