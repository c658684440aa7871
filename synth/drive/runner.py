"""Runs leases: thousands of recipe coroutines in one process, one published file a lease.

A runner knows nothing of Ray. `synth.drive.worker` puts one into an actor; tests and dry runs call
it in their own process.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from guidelines import GuidelineSet
from synth import storage
from synth.calls.gate import Gate
from synth.calls.metering import Meter, MeteredModels, PoolHealth, RoleCalls, Suspect
from synth.calls.snapshot import Snapshot, take_snapshot
from synth.chat.connect import connect
from synth.config.schema import StorageConfig
from synth.drive.drive import LeaseEnd
from synth.drive.rows import Provenance, Row, count_lease, lost_row, trace_rows
from synth.errors import BadInput, Invalid, RowFault, RunFault, Unparsed
from synth.measures import measure_lease
from synth.pools.layout import PoolPlan, chats_of
from synth.recipes import Step, find_recipe
from synth.records import TRACES, Item, Outcome, Sampling
from synth.workspace.leases import lease_path, publish_lease
from synth.workspace.plan import Lease, read_items

HELD_ROWS_PER_CALL = 16  # rows in memory for each call a worker may have open
MIN_HELD_ROWS = 2_048
RESERVE_SHARE = 0.25  # ours: of the calls a worker may have open, as rows that wait for one
MIN_RESERVE = 64  # ours, but no more than all of those: a lease takes a while to come


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every worker of a drive is told once. All of it is picklable data.

    Attributes:
        workspace: Folder that holds `plan/` and `traces/`.
        recipes: Recipe name in items to what `find_recipe` takes; a name that is missing here
            is looked up as it is.
        guidelines: Guideline sets by name.
        pools: The pools that are open, and how each role calls its own.
        options: Recipe name to its options, as JSON.
        sampling: The run's own sampling.
        fingerprint: Digest of what changes a row's text.
        format_retries: Further calls an item may spend on a format failure.
        pool_deadline_s: A pool that has answered nothing for so long ends the run.
        num_workers: Workers that share the pools' calls; no more than any of these allows.
        storage: How `s3://` is reached.
        measures: Are made of each lease as it ends: what counts towards a quota waits for them.
    """

    workspace: str
    pools: Sequence[PoolPlan]
    sampling: Sampling
    fingerprint: str
    recipes: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    guidelines: Mapping[str, GuidelineSet] = field(default_factory=dict)
    format_retries: int = 1
    pool_deadline_s: float = 600
    num_workers: int = 1
    storage: StorageConfig = field(default_factory=StorageConfig)
    measures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Begun:
    """A lease this worker has begun: its items, and the rows of those that have ended."""

    lease: Lease
    items: list[Item]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)


class Runner:
    """One process's share of the work.

    Args:
        work: The work.
        index: Which of the `num_workers` this is.
    """

    def __init__(self, work: Work, index: int = 0) -> None:
        self.work = work
        self._sampling = json.dumps(asdict(work.sampling), sort_keys=True)
        self._model_ids = {role: spec.model_id for role, spec in chats_of(work.pools).items()}
        self._gates: list[Gate] = []
        self._roles: dict[str, RoleCalls] = {}
        for pool in work.pools:
            gate = Gate(pool.calls_of(index, work.num_workers))
            health = PoolHealth(work.pool_deadline_s)
            self._gates.append(gate)
            for role, spec in pool.chats.items():
                self._roles[role] = RoleCalls(role, connect(spec), gate, health)
        self._share = max(gate.limit for gate in self._gates)
        self._reserve = min(self._share, max(MIN_RESERVE, int(RESERVE_SHARE * self._share)))
        self._meters: dict[tuple[str, int], Meter] = {}
        self._held: dict[str, _Begun] = {}  # by lease: those whose suspects have yet to run alone
        self._tasks: set[asyncio.Task[str | None]] = set()
        self._changed = asyncio.Event()
        self._leaving = False
        self._arriving = 0
        self._outcomes: Counter[str] = Counter()
        self._tokens = 0

    async def room(self) -> None:
        """Return when this worker should be given another lease.

        That is when so few rows wait for a call that a lease on its way could come too late, and
        its memory bound leaves room. More would wait here while another worker has none.
        """
        bound = max(MIN_HELD_ROWS, HELD_ROWS_PER_CALL * self._share)
        while not self._leaving:
            waiting = self._arriving + sum(gate.queued for gate in self._gates)
            if waiting < self._reserve and len(self._meters) + self._arriving < bound:
                return
            self._changed.clear()
            await self._changed.wait()

    async def run(self, lease: Lease, alone: bool = False) -> LeaseEnd:
        """Run the rows of `lease` and publish its file, unless it is there already.

        Args:
            lease: Where the rows stand.
            alone: Run one row at a time, and blame a row for the engines it kills.

        Raises:
            RunFault: A pool is down, or refuses to be called. The finished rows are kept.
            BadInput: A step has found that it was configured wrongly. They are, too.
        """
        self._arriving += lease.num_rows  # before anything is awaited: room is asked for next
        begun = self._held.pop(lease.name, None) or await asyncio.to_thread(self._begin, lease)
        if begun is None:
            self._arrived(lease)
            return LeaseEnd(name=lease.name)
        try:
            suspects = await self._run_rows(begun, alone)
        except (RunFault, BadInput):
            await asyncio.to_thread(self._publish, begun)
            raise
        if suspects and not self._leaving:
            self._held[lease.name] = begun
            return LeaseEnd(name=lease.name, suspects=suspects)
        await asyncio.to_thread(self._publish, begun)
        if self.work.measures and not self._leaving:
            await asyncio.to_thread(self._measure, lease)
        return LeaseEnd(name=lease.name)

    async def drain(self) -> None:
        """Close the open leases, those held back too: finished rows kept, others `interrupted`."""
        self._leaving = True
        self._changed.set()
        for task in self._tasks:
            task.cancel()
        held, self._held = list(self._held.values()), {}
        for begun in held:
            await asyncio.to_thread(self._publish, begun)

    async def close(self) -> None:
        """Close the chats that hold connections."""
        for calls in self._roles.values():
            if (aclose := getattr(calls.chat, "aclose", None)) is not None:
                await aclose()

    async def snapshot(self) -> Snapshot:
        """Return the live numbers."""
        return take_snapshot(self._outcomes, self._tokens, self._meters, self._roles)

    def _begin(self, lease: Lease) -> _Begun | None:
        """Read what `lease` holds; return None where its file is there."""
        if storage.exists(lease_path(self.work.workspace, lease.name)):
            return None
        return _Begun(lease, read_items(self.work.workspace, lease))

    def _arrived(self, lease: Lease) -> None:
        """Count the rows of `lease` as waiting no more, but by what they wait for."""
        self._arriving -= lease.num_rows
        self._changed.set()

    async def _run_rows(self, begun: _Begun, alone: bool) -> tuple[str, ...]:
        """Run the items that have no rows yet; return those held back as suspects."""
        rows = begun.rows
        items = [
            item
            for item in begun.items
            if item.item_id not in rows and not self._leaving and self._has_guidelines(item)
        ]
        width = asyncio.Semaphore(1 if alone else max(1, len(items)))

        async def one(item: Item) -> str | None:
            async with width:
                try:
                    rows[item.item_id] = await self._row(item, alone)
                except Suspect:
                    return item.item_id
                return None

        tasks = [asyncio.create_task(one(item)) for item in items]
        self._tasks.update(tasks)
        await asyncio.sleep(0)  # the rows have taken or queued for their first slot
        self._arrived(begun.lease)
        try:
            await _first_fault(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.difference_update(tasks)
        ends = [None if task.cancelled() else task.result() for task in tasks]
        return tuple(end for end in ends if end is not None)

    async def _row(self, item: Item, alone: bool) -> list[Row]:
        meter = self._meters[item.key] = Meter(step=item.step, alone=alone)
        try:
            rows = await self._try(item, meter)
        finally:
            del self._meters[item.key]
            self._changed.set()
        self._outcomes[str(rows[0]["outcome"])] += 1
        self._tokens += meter.output_tokens
        return rows

    async def _try(self, item: Item, meter: Meter) -> list[Row]:
        work = self.work
        guidelines = work.guidelines[item.guidelines] if item.guidelines else None
        models = MeteredModels(self._roles, meter, work.sampling, work.format_retries)
        try:
            self._check_student(item)
            traces = await self._step(item).run(item, models, guidelines)
            if not traces:
                raise RowFault("the step returned no trace")
        except Unparsed as fault:
            outcome = Outcome.TRUNCATED if fault.truncated else Outcome.UNPARSED
            meter.last_raw = fault.raw or meter.last_raw
            return [self._lost(item, outcome, str(fault), meter)]
        except Invalid as fault:
            return [self._lost(item, Outcome.INVALID, str(fault), meter)]
        except (Suspect, RunFault, BadInput):
            raise
        except Exception as fault:  # noqa: BLE001 - a recipe's own bug is its row's outcome
            error = f"{type(fault).__name__}: {fault}"
            return [self._lost(item, Outcome.FAILED, error, meter)]
        provenance, ids = self._provenance(item), self._guideline_ids(item)
        return trace_rows(item, traces, meter, provenance, ids)

    def _step(self, item: Item) -> Step:
        path = self.work.recipes.get(item.recipe, item.recipe)
        step = find_recipe(path, self.work.options.get(item.recipe)).steps[item.step]
        assert isinstance(step, Step), f"{item.recipe} has a training at {item.step}, not a step"
        return step

    def _check_student(self, item: Item) -> None:
        """Refuse an item that was planned for a student which has been trained anew since."""
        planned_for = item.student
        if planned_for and planned_for != self._model_ids["student"]:
            raise Invalid(f"planned for {planned_for}, which has been trained anew since")

    def _provenance(self, item: Item) -> Provenance:
        role = self._step(item).roles[0]
        return Provenance(
            teacher=item.student or self._model_ids[role],
            sampling=self._sampling,
            fingerprint=self.work.fingerprint,
        )

    def _has_guidelines(self, item: Item) -> bool:
        """Say whether this drive has the guideline set of an item; a lease may name several."""
        return not item.guidelines or item.guidelines in self.work.guidelines

    def _guideline_ids(self, item: Item) -> list[str]:
        if not item.guidelines or not self._has_guidelines(item):
            return []
        return [guideline.id for guideline in self.work.guidelines[item.guidelines].guidelines]

    def _lost(self, item: Item, outcome: Outcome, error: str, meter: Meter) -> Row:
        provenance, ids = self._provenance(item), self._guideline_ids(item)
        return lost_row(item, outcome, error, meter, provenance, ids)

    def _publish(self, begun: _Begun) -> None:
        flat: list[Row] = []
        for item in begun.items:
            why = "the worker had to leave before this row was done"
            ended = begun.rows.get(item.item_id)
            flat += ended or [self._lost(item, Outcome.INTERRUPTED, why, Meter())]
        table = pa.Table.from_pylist(flat, schema=TRACES)
        counts = count_lease(flat, time.monotonic() - begun.started)
        publish_lease(self.work.workspace, begun.lease.name, table, counts)

    def _measure(self, lease: Lease) -> None:
        sets = list(self.work.guidelines.values())
        measure_lease(self.work.workspace, lease.name, self.work.measures, sets)


async def _first_fault(tasks: list[asyncio.Task[str | None]]) -> None:
    """Wait for all tasks, or raise the first fault at once. A cancelled task is no fault."""
    if not tasks:
        return
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        if not task.cancelled() and (fault := task.exception()) is not None:
            raise fault
