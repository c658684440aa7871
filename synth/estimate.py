"""What a run will take, before it runs: rows, leases, tokens, hours of engines."""

from collections.abc import Sequence
from dataclasses import dataclass

from synth.calls.usage import cost, read_usage
from synth.curate.counting import Counting
from synth.rounds import due_items, makes_items, owed_by
from synth.run import Run
from synth.workspace.leases import LeaseCounts
from synth.workspace.plan import lease_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """What is left to do of a run.

    Attributes:
        rows: Rows still to be made; under a quota those of the next round.
        budget: Rows that a quota may take in all; None without one.
        leases: Files they will stand in.
        full_tokens: New tokens, if every row used its whole `max_tokens` once.
        expected_tokens: New tokens at the mean of the rows made so far; None before the first,
            and where no server counts.
        expected_cost: What the rows will cost at the mean of those made so far, in the currency
            of the endpoints' prices; None without prices, before the first row, and where calls
            were not counted.
        has_later_steps: A recipe has steps whose rows follow from traces that are not there yet.
    """

    rows: int
    budget: int | None
    leases: int
    full_tokens: int
    expected_tokens: int | None
    expected_cost: float | None
    has_later_steps: bool

    @property
    def tokens(self) -> int:
        """New tokens, the better of the two estimates."""
        return self.full_tokens if self.expected_tokens is None else self.expected_tokens

    def engine_hours(self, tokens_per_s: float) -> float:
        """Return the hours that one replica works which makes so many tokens a second."""
        return self.tokens / tokens_per_s / 3600


def estimate_cost(run: Run, counting: Counting | None = None) -> CostEstimate:
    """Return what the run would still have to make; nothing is planned.

    Args:
        run: The run.
        counting: Counts what is accepted; a quota needs it.
    """
    fresh = sum(1 for _ in due_items(run, counting))
    waiting = owed_by(run)
    rows = fresh + sum(lease.num_rows for lease in waiting)
    counts = run.workspace.counts()
    mean, mean_cost = _mean_tokens(counts), _mean_cost(run, counts)
    return CostEstimate(
        rows=rows,
        budget=None if run.config.accepted is None else run.config.accepted.budget,
        leases=len(waiting) + -(-fresh // lease_rows(fresh)),
        full_tokens=rows * run.config.sampling.max_tokens,
        expected_tokens=None if mean is None else round(rows * mean),
        expected_cost=None if mean_cost is None else rows * mean_cost,
        has_later_steps=any(makes_items(step) for r in run.recipes.values() for step in r.steps),
    )


def _mean_tokens(counts: Sequence[LeaseCounts]) -> float | None:
    """Return the new tokens of a row, over the leases whose calls were all counted."""
    counted = [one for one in counts if not any(used["uncounted"] for used in one.usage.values())]
    rows = sum(one.rows for one in counted)
    return sum(one.output_tokens for one in counted) / rows if rows else None


def _mean_cost(run: Run, counts: Sequence[LeaseCounts]) -> float | None:
    usage = read_usage(one.usage for one in counts)
    spent = cost(usage, run.config.model_dump(mode="json"))
    rows = sum(one.rows for one in counts)
    return spent.total / rows if spent and spent.total is not None and rows else None
