"""Synthesis: seeds under guidelines become traces, until nothing is owed.

All steps that no model of a recipe's own takes part in share one session of pools, if the hardware
can hold their roles at once; otherwise each set of roles has one. A step that samples from a
trained model has a session with that model. A session's pools are planned once; whoever opens
them, calls them or counts their calls has the same plans.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from synth import storage
from synth.calls.aio import in_thread
from synth.checks.endpoints import check_abilities, check_endpoints
from synth.cluster.job import in_ray_job
from synth.config.schema import Limits, ModelConfig, SynthConfig
from synth.curate.counting import AcceptedCount, Counting
from synth.curate.local import MEASURED
from synth.drive.drive import Drive, LeaseRunner, Progress, Refill, nothing_more
from synth.drive.holder import Holder, hold
from synth.drive.notes import note_accepted, note_seconds
from synth.drive.runner import Runner, Work
from synth.errors import BadInput
from synth.pools.layout import PoolPlan, chats_of, check_fit, plan_pools
from synth.recipes.base import Step
from synth.records import Cell, Sampling, digest
from synth.rounds import barren_cells, check_plannable, of_others, plan_due
from synth.run import TRAINED_ROLES, Run, fingerprint, model_of, needed_roles, open_run, run_digest
from synth.students import is_trained, student_name, trained_model
from synth.workspace.plan import Lease, LeaseKind

CALLS_PER_WORKER = 256  # well below what one worker's process can keep open
NEXT_ROUND_SHARE = 0.1  # of a round's rows still open: then the next one is planned

log = logging.getLogger(__name__)

Tell = Callable[[str, Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Pools that are open together, and what they can work off.

    Attributes:
        student: Name of the trained model among them; empty for none.
        pools: The pools.
        leases: The owed leases that these can serve.
    """

    student: str
    pools: Sequence[PoolPlan]
    leases: Sequence[Lease] = ()

    @property
    def roles(self) -> frozenset[str]:
        """The roles that these play."""
        return frozenset(chats_of(self.pools))

    def able(self, run: Run, leases: Iterable[Lease]) -> list[Lease]:
        """Return those of `leases` that these pools serve."""
        return [lease for lease in leases if self._serves(run, lease.kind)]

    def _serves(self, run: Run, kind: LeaseKind) -> bool:
        roles = step_of(run, kind).roles
        return student_of(run, kind) == self.student and self.roles.issuperset(roles)


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
    session = Session(student=student_of(run, first), pools=_pools(run, first))
    return replace(session, leases=session.able(run, able))


def step_of(run: Run, kind: LeaseKind) -> Step:
    """Return the step that items of `kind` run."""
    recipe, index = kind
    step = run.recipes[recipe].steps[index]
    assert isinstance(step, Step), f"{recipe} has a training at {index}, not a step"
    return step


def student_of(run: Run, kind: LeaseKind) -> str:
    """Return the name of the trained model that a step samples from; empty for none."""
    step = step_of(run, kind)
    return student_name(run.recipes[kind[0]], step.student) if step.student else ""


def _can_run(run: Run, kind: LeaseKind) -> bool:
    student = student_of(run, kind)
    return not student or is_trained(run.config, student)


def _pools(run: Run, kind: LeaseKind) -> list[PoolPlan]:
    """Return the pools to open for a step: with as many other roles as can be held at once."""
    roles = step_of(run, kind).roles
    if student := student_of(run, kind):
        others = {role: model_of(run.config, role) for role in roles if role not in TRAINED_ROLES}
        return _plan(run, {"student": trained_model(run.config, student)} | others)
    together = _plan(run, needed_roles(run.config, run.recipes.values()))
    try:
        check_fit(together)
    except BadInput:
        return _plan(run, {role: model_of(run.config, role) for role in roles})
    return together


def _plan(run: Run, models: Mapping[str, ModelConfig]) -> list[PoolPlan]:
    return plan_pools(models, run_digest(run.config.run), run.config.limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a command wants a stage to run.

    Attributes:
        force: Take the run over from another command that is at work.
        accept_drift: Why rows of another fingerprint may join this run.
        tell: Hears a drive's numbers about once a second.
    """

    force: bool = False
    accept_drift: str | None = None
    tell: Tell = lambda stage, progress: None


async def synthesize(run: Run, counting: Counting | None, options: RunOptions) -> Counter[str]:
    """Generate what is owed; return rows by outcome over the whole run.

    Rerunning resumes. Where nothing is owed, neither Ray nor an engine starts. It ends: a drive
    ends all its leases, and what is planned after it uses up a budget, or follows from new traces.

    Args:
        run: What to make.
        counting: Counts what is accepted; a quota needs it.
        options: How.

    Raises:
        BadInput: There is nothing that the run could plan, or another command works on it.
        RunFault: An engine did not start, or another command has displaced this one.
    """
    with hold(run.config.run, "synthesize", options.force):
        return await _synthesize(run, counting, options)


async def _synthesize(run: Run, counting: Counting | None, options: RunOptions) -> Counter[str]:
    check_plannable(run)
    parts = fingerprint(run)
    open_run(run, parts, options.accept_drift)
    planning = _Planning(run, counting)
    started = time.monotonic()
    worked = False
    while due := next_session(run, await planning.plan()):
        worked = True
        await _hold_session(planning, due, options, digest(parts))
    if worked:
        note_seconds(run.config.run, "synthesize", time.monotonic() - started)
    else:
        log.info("synthesize: complete, nothing to do")
    if any(others := of_others(run)):
        whose = "are of recipes, guideline sets or students not in this run"
        log.info("%d owed leases and %d interrupted items %s", *others, whose)
    return run.workspace.rows_by_outcome()


@dataclass(slots=True)
class _Planning:
    """Plans what is due, in a thread: counting and planning take a while, and the loop goes on.

    Attributes:
        run: The run.
        counting: Counts what is accepted, for a quota.
        named: Cells whose candidates gave nothing, as far as that has been said.
    """

    run: Run
    counting: Counting | None
    named: set[Cell] = field(default_factory=set)

    async def plan(self) -> list[Lease]:
        """Plan what is due, and return what is owed.

        Raises:
            BadInput: Nothing was ever planned, and nothing can be.
        """
        return await in_thread(self._plan)

    async def look(self) -> None:
        """Look at what has been finished, so that the next count has less to read."""
        if self.counting is not None:
            await in_thread(self.counting.look)

    def _plan(self) -> list[Lease]:
        leases = plan_due(self.run, self.counting)
        if not self.run.workspace.plan().rounds:
            recipes = list(self.run.recipe_paths.values())
            rule = "must plan something: their first steps make no item of the seeds there are"
            raise BadInput(file="config", field="recipe", value=recipes, rule=rule)
        if self.counting is not None and self.counting.last is not None:
            self._note(self.counting.last)
        return leases

    def _note(self, found: AcceptedCount) -> None:
        """Keep a count for `status`, and name the cells that gave nothing, each once."""
        barren = barren_cells(self.run, found)
        note_accepted(self.run.config.run, found.accepted, barren)
        for cell in sorted(barren.keys() - self.named):
            what = ", ".join(cell)
            log.warning("%s: gets no more, its last %d candidates gave nothing", what, barren[cell])
        self.named.update(barren)


async def _hold_session(
    planning: _Planning, session: Session, options: RunOptions, fingerprint: str
) -> None:
    """Work off what `session` can, and what follows from that, before its pools close."""
    run = planning.run
    check_abilities(run, chats_of(session.pools))
    work = make_work(run, session.pools, fingerprint)
    async with open_pools(run.config, session.pools):
        leases = session.leases
        while leases:
            refill = nothing_more
            if planning.counting is not None:
                refill = _next_rounds(planning, session, leases)
            await work_through(run.config, work, leases, "synthesize", options, refill)
            leases = session.able(run, await planning.plan())


def make_work(run: Run, pools: Sequence[PoolPlan], fingerprint: str) -> Work:
    """Return what the workers of `run` are told: its recipes on `pools`."""
    return Work(
        workspace=run.workspace.path,
        pools=pools,
        recipes=run.recipe_paths,
        options=run.config.options,
        guidelines=run.guidelines,
        sampling=Sampling(**run.config.sampling.model_dump()),
        fingerprint=fingerprint,
        format_retries=run.config.limits.format_retries,
        pool_deadline_s=run.config.limits.pool_deadline_s,
        num_workers=num_workers(run.config.limits, pools),
        storage=run.config.storage,
        measures=MEASURED if run.config.accepted is not None else (),
    )


def num_workers(limits: Limits, pools: Sequence[PoolPlan]) -> int:
    """Return how many workers share the calls of `pools`; the driver's own process is one.

    They are no more than any pool has calls: a worker without one would wait for ever.
    """
    fewest, most = (pick(pool.max_calls for pool in pools) for pick in (min, max))
    wanted = limits.workers
    if wanted is None:
        wanted = math.ceil(most / CALLS_PER_WORKER)
    elif wanted > fewest:
        log.warning("%d workers, not %d: a pool has no more calls for them", fewest, wanted)
    return max(1, min(wanted, fewest))


@asynccontextmanager
async def open_pools(config: SynthConfig, pools: Sequence[PoolPlan]) -> AsyncIterator[None]:
    """Open `pools`, and Ray below them, for as long as they are needed; hold the run as long.

    Endpoints are asked first: what a server refuses is known before an engine takes minutes.

    Raises:
        BadInput: They can not be open together, an endpoint is not what is said of it, or another
            command works on the run.
        PoolDown: An endpoint does not answer.
        RunFault: An engine did not start, or another command has displaced this one.
    """
    with hold(config.run, "open pools") as holder:
        async with _open_pools(config, pools, holder):
            yield


@asynccontextmanager
async def _open_pools(
    config: SynthConfig, pools: Sequence[PoolPlan], holder: Holder
) -> AsyncIterator[None]:
    check_fit(pools)
    await check_endpoints(pools, config.limits.pool_deadline_s)
    engines = any(pool.engine for pool in pools)
    if config.limits.workers == 0 and not engines:
        yield
        return
    # Ray comes up only here: neither a run that owes nothing nor one without pools loads it.
    from synth.cluster.joining import join_ray  # noqa: PLC0415

    join_ray()
    if not engines:
        yield
        return
    from synth.pools.lifecycle import open_engines  # noqa: PLC0415

    logs = None if in_ray_job() else storage.local_folder(storage.join(config.run, "logs"))
    name, limits = run_digest(config.run), config.limits
    async with open_engines(pools, name, limits, config.seed, logs, own=holder.holds):
        yield


async def work_through(
    config: SynthConfig,
    work: Work,
    leases: Iterable[Lease],
    stage: str,
    options: RunOptions,
    refill: Refill = nothing_more,
) -> None:
    """Run `leases` on workers of their own, holding the run; its heartbeat has the numbers."""
    with hold(config.run, stage, options.force) as holder:

        def note(progress: Progress) -> None:
            options.tell(stage, progress)
            holder.note(progress)

        async with _workers(config, work, stage) as workers:
            drive = Drive(
                workers, leases, refill=refill, on_progress=note, drain_s=config.limits.drain_s
            )
            try:
                await drive.run()
            finally:
                holder.note(drive.progress)


@asynccontextmanager
async def _workers(config: SynthConfig, work: Work, stage: str) -> AsyncIterator[list[LeaseRunner]]:
    if config.limits.workers == 0:
        runner = Runner(work)
        try:
            yield [runner]
        finally:
            await runner.close()
        return
    # It imports Ray.
    from synth.drive.worker import start_workers, stop_workers, until_ready  # noqa: PLC0415

    timeout_s, labels = config.limits.start_timeout_s, config.limits.worker_labels
    digest_of_run = run_digest(config.run)
    workers = start_workers(work, timeout_s, run=digest_of_run, stage=stage, labels=labels)
    try:
        await until_ready(workers, labels)
        yield list(workers)
    finally:
        stop_workers(workers)


def _next_rounds(planning: _Planning, session: Session, leases: Iterable[Lease]) -> Refill:
    """Return what plans the next round once, when nine tenths of the one before are in."""
    handed_out = {lease.name for lease in leases}

    async def refill(open_share: float) -> list[Lease]:
        if open_share > NEXT_ROUND_SHARE:
            await planning.look()
            return []
        owed_now = session.able(planning.run, await planning.plan())
        fresh = [lease for lease in owed_now if lease.name not in handed_out]
        handed_out.update(lease.name for lease in owed_now)
        return fresh

    return refill
