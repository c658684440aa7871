"""Which pools are open together: a session serves every step that its models can.

All steps that no model of a recipe's own takes part in share one session, if the hardware can
hold their roles at once; otherwise each set of roles has one. A step that samples from a trained
model has a session with that model.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from synth.config.schema import ModelConfig
from synth.errors import BadInput
from synth.pools.layout import plan_pools
from synth.recipes.base import Step
from synth.roles import TRAINED_ROLES, model_of, needed_roles
from synth.run import Run, run_digest
from synth.students import is_trained, student_name, trained_model
from synth.workspace.plan import Kind, Lease

log = logging.getLogger(__name__)

Models = Mapping[str, ModelConfig]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Pools that are open together, and what they can work off.

    Attributes:
        student: Name of the trained model among them; empty for none.
        models: The model of every role.
        leases: The owed leases that these can serve.
    """

    student: str
    models: Models
    leases: Sequence[Lease] = ()

    def able(self, run: Run, leases: Iterable[Lease]) -> list[Lease]:
        """Return those of `leases` that these models serve."""
        return [lease for lease in leases if self._serves(run, lease.kind)]

    def _serves(self, run: Run, kind: Kind) -> bool:
        step = step_of(run, kind)
        return student_of(run, kind) == self.student and self.models.keys() >= {*step.roles}


def next_session(run: Run, leases: Sequence[Lease]) -> Session | None:
    """Return the session for the first of `leases` that can run, and all that it serves.

    Returns:
        None where nothing is owed, or all that is waits for a training.

    Raises:
        BadInput: A recipe needs a role that the config does not fill.
    """
    able = [lease for lease in leases if _can_run(run, lease.kind)]
    if len(able) < len(leases):
        log.info("%d leases wait for a student to be trained", len(leases) - len(able))
    if not able:
        return None
    first = able[0].kind
    session = Session(student=student_of(run, first), models=_models(run, first))
    return replace(session, leases=session.able(run, able))


def step_of(run: Run, kind: Kind) -> Step:
    """Return the step that items of `kind` run."""
    recipe, index = kind
    step = run.recipes[recipe].steps[index]
    assert isinstance(step, Step), f"{recipe} has a training at {index}, not a step"
    return step


def student_of(run: Run, kind: Kind) -> str:
    """Return the name of the trained model that a step samples from; empty for none."""
    step = step_of(run, kind)
    return student_name(run.recipes[kind[0]], step.student) if step.student else ""


def _can_run(run: Run, kind: Kind) -> bool:
    student = student_of(run, kind)
    return not student or is_trained(run.config, student)


def _models(run: Run, kind: Kind) -> Models:
    """Return the roles to open for a step: as many others with it as can be held at once."""
    if student := student_of(run, kind):
        others = (role for role in step_of(run, kind).roles if role not in TRAINED_ROLES)
        own = {"student": trained_model(run.config, student)}
        return own | {role: model_of(run.config, role) for role in others}
    together = needed_roles(run.config, run.recipes.values())
    try:
        plan_pools(together, run_digest(run.config.run))
    except BadInput:
        return {role: model_of(run.config, role) for role in step_of(run, kind).roles}
    return together
