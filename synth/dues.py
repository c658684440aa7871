"""What of a workspace's plan is a run's own to do: several runs may share one (`traces`)."""

from collections.abc import Callable

from synth.recipes.base import Step
from synth.records import Item, Outcome
from synth.run import Run
from synth.students import model_ids
from synth.workspace.ledger import again, owed
from synth.workspace.plan import Kind, Lease


def owed_by(run: Run) -> list[Lease]:
    """Return the owed leases that this run is to work off, now or when their student is trained."""
    concerns = _concerns(run)
    return [lease for lease in owed(run.workspace) if concerns(lease.kind, lease.student)]


def interrupted(run: Run) -> list[Item]:
    """Return a further try of each of the run's items that was interrupted."""
    concerns = _concerns(run)
    items = again(run.workspace, [Outcome.INTERRUPTED])
    return [item for item in items if concerns((item.recipe, item.step), item.student)]


def _concerns(run: Run) -> Callable[[Kind, str], bool]:
    """Return what says of a kind of items, and the student they are for, whether they are due here.

    They are not where no recipe of the run has such a step. Nor are they, in a workspace that
    others share, where their student may be one of theirs, which no model here can answer for.
    """
    shared = run.config.traces is not None
    students = {
        name: set(model_ids(run.config, recipe).values()) if shared else set()
        for name, recipe in run.recipes.items()
    }

    def concerns(kind: Kind, student: str) -> bool:
        name, index = kind
        steps = run.recipes[name].steps if name in run.recipes else ()
        there = index < len(steps) and isinstance(steps[index], Step)
        return there and (not student or not shared or student in students[name])

    return concerns
