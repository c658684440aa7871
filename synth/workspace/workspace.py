"""A workspace: the plan and the traces in a folder, and what they come to.

A round or lease is there if and only if its file is; the state of an item is its last try. A file
counts by its name: a round is called `round-NNN.parquet`, and a lease's traces as a lease of the
plan. Whatever else lies beside them is nobody's.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.errors import RunFault
from synth.records import TRACES, Item, Outcome, digest
from synth.workspace.damage import DAMAGED
from synth.workspace.leases import (
    RETRIABLE,
    LeaseCounts,
    Summary,
    only_last_tries,
    read_lease,
    summarize,
    traces_folder,
)
from synth.workspace.plan import (
    Lease,
    LeaseKind,
    Plan,
    Round,
    lease_rows,
    list_rounds,
    pack_round,
    read_candidates,
    read_lease_rows,
    read_round,
    round_path,
    to_items,
    to_round,
)

BATCHES = "batches"
MAX_LOST_ROUNDS = 8  # in a row, to other drivers; there is seldom one

log = logging.getLogger(__name__)


def batch_workspace(run: str, name: str, fingerprint: str) -> str:
    """Return the folder of a batch beside a run, `<run>/batches/<name>-<fingerprint>`."""
    return storage.join(run, BATCHES, f"{name}-{fingerprint[:12]}")


def batch_folders(run: str) -> dict[str, str]:
    """Return the workspaces of all batches beside `run`, by their names."""
    folder = storage.join(run, BATCHES)
    return {name: storage.join(folder, name) for name in storage.list_folders(folder)}


class Workspace:
    """A folder's plan and traces.

    What is published never changes. So a round's file and a lease's footer are read once, and what
    is kept of them is small; only listings are made anew at every question, so that what others
    publish meanwhile is seen. Texts are never kept.

    Attributes:
        path: The folder, which holds `plan/` and `traces/`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._plan = Plan()
        self._summaries: dict[str, Summary] = {}
        self._candidates: dict[int, pa.Table] = {}

    def plan(self) -> Plan:
        """Return the plan of every round that is published by now.

        Raises:
            BadInput: The file of a round is damaged.
        """
        there = list_rounds(self.path)
        if fresh := [index for index in there if index not in self._plan.rounds]:
            read = partial(read_round, self.path)
            self._plan = self._plan.extended(storage.in_parallel(self.path, read, fresh))
        return self._plan

    def finished(self) -> list[str]:
        """Return the names of the leases that are done, sorted."""
        planned = self.plan().by_name
        files = storage.list_files(traces_folder(self.path))
        names = (file.removesuffix(".parquet") for file in files if file.endswith(".parquet"))
        return [name for name in names if name in planned]

    def owed(self) -> list[Lease]:
        """Return the planned leases that are not done, in the order of the plan."""
        done = set(self.finished())
        return [lease for lease in self.plan().leases if lease.name not in done]

    def publish(
        self,
        items: Iterable[Item],
        *,
        after: Plan | None = None,
        rows: int | None = None,
        rows_of: Mapping[LeaseKind, int] | None = None,
    ) -> Round | None:
        """Publish `items` as the round after those of a plan.

        Args:
            items: The attempts to plan.
            after: What was planned when they were chosen; the plan of now where None.
            rows: Rows of a lease; chosen by `lease_rows` where None, from the number of `items`.
            rows_of: The same of single steps that want another number.

        Returns:
            The round; None where another driver has published that one first, and nothing of
            `items` is planned.
        """
        after = after or self.plan()
        if rows is None:
            items = list(items)
            rows = lease_rows(len(items))
        index = after.next_round
        data = pack_round(index, items, rows, rows_of)
        if not storage.publish(round_path(self.path, index), data):
            return None
        mine = to_round(index, pq.ParquetFile(pa.BufferReader(data)))
        if self._plan is after:
            self._plan = after.extended([mine])
        return mine

    def plan_more(
        self,
        find_due: Callable[[], Iterable[Item]],
        *,
        rows: int | None = None,
        rows_of: Mapping[LeaseKind, int] | None = None,
    ) -> int:
        """Plan what is due as the next round; return how many rows that are.

        Where another driver publishes that round first, its items are planned and ours are not.
        So what is due then is found again.

        Args:
            find_due: Finds it, from what the workspace says when it is called.
            rows: See `publish`.
            rows_of: See `publish`.

        Raises:
            RunFault: Others were first time and again.
        """
        for _ in range(MAX_LOST_ROUNDS):
            before = self.plan()
            due = iter(find_due())
            if (first := next(due, None)) is None:
                return 0
            mine = self.publish(chain([first], due), after=before, rows=rows, rows_of=rows_of)
            if mine is not None:
                return len(mine.ids)
            log.info("another driver has planned round %d: looking again", before.next_round)
        raise RunFault(
            f"{self.path}: other drivers planned {MAX_LOST_ROUNDS} rounds before this one"
        )

    def candidates(self) -> list[pa.Table]:
        """Return the items of first steps by recipe and seed, a table a round (`read_candidates`).

        Who counts towards a quota asks for them; nobody else pays for what they take.
        """
        fresh = [index for index in self.plan().rounds if index not in self._candidates]
        read = partial(read_candidates, self.path)
        found = storage.in_parallel(self.path, read, fresh)
        self._candidates.update(zip(fresh, found, strict=True))
        return [self._candidates[index] for index in self.plan().rounds]

    def find_items(self, ids: Iterable[str]) -> Iterator[Item]:
        """Yield the planned items of `ids`, each once and as it was planned first."""
        left = set(ids)
        for _, rows in read_lease_rows(self.path, self.plan().first_leases(left)):
            found = rows.filter(pc.field("item_id").isin(list(left)))
            for item_id, item in zip(found["item_id"].to_pylist(), to_items(found), strict=True):
                if item_id in left:
                    left.discard(item_id)
                    yield item

    def again(self, outcomes: Iterable[Outcome]) -> Iterator[Item]:
        """Yield a further try of every item whose state is one of `outcomes`, of `RETRIABLE`.

        An item whose next try is planned already is left out.
        """
        wanted = set(outcomes)
        assert wanted <= {*RETRIABLE}, f"only {RETRIABLE} may be tried again, not {wanted}"
        plan, summaries = self.plan(), self._summarize()
        due: dict[str, dict[str, int]] = {}  # try by item, by lease
        seen: set[str] = set()
        for lease in plan.leases:
            if lease.name in summaries and len(rows := summaries[lease.name].retriable):
                states = zip(*rows.to_pydict().values(), strict=True)
                due[lease.name] = {
                    item_id: attempt
                    for item_id, attempt, outcome in states
                    if outcome in wanted
                    and attempt == plan.last_try(item_id)
                    and item_id not in seen
                }
                seen.update(due[lease.name])
        leases = (lease for lease in plan.leases if due.get(lease.name))
        for lease, rows in read_lease_rows(self.path, leases):
            for item in to_items(rows.filter(pc.field("item_id").isin(list(due[lease.name])))):
                yield replace(item, attempt=item.attempt + 1)

    def counts(self) -> list[LeaseCounts]:
        """Return what the footer of every finished lease counts."""
        return [one.counts for one in self._summarize().values()]

    def rows_by_outcome(self) -> Counter[str]:
        """Return the rows of all tries by outcome."""
        return sum((one.outcomes for one in self.counts()), Counter())

    def outcomes(self) -> Counter[str]:
        """Return the rows of the last finished try of every item by outcome."""
        summaries = self._summarize()
        last = self.plan().last_tries(summaries)
        outcomes: Counter[str] = Counter()
        for one in summaries.values():
            outcomes.update(one.counts.outcomes)
            if len(one.retriable):
                kept = only_last_tries(one.retriable, last)
                outcomes.subtract(one.retriable["outcome"].to_pylist())
                outcomes.update(kept["outcome"].to_pylist())
        return +outcomes

    def traces(
        self, recipes: Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the traces of the last finished try of every item.

        Args:
            recipes: Only these recipes' rows; all where None.
            columns: Only these columns; all of `TRACES` where None.
        """
        wanted = list(columns) if columns is not None else TRACES.names
        needed = list(dict.fromkeys([*wanted, *(["recipe"] if recipes is not None else [])]))
        tables = [pa.schema([TRACES.field(name) for name in needed]).empty_table()]
        for _, table in self.stream_traces(self.finished(), needed):
            if recipes is not None:
                table = table.filter(pc.field("recipe").isin(list(recipes)))
            tables.append(table)
        return pa.concat_tables(tables).select(wanted)

    def stream_traces(
        self, leases: Sequence[str], columns: Sequence[str]
    ) -> Iterator[tuple[str, pa.Table]]:
        """Yield each of `leases` with those of its traces that are their item's last try.

        A lease at a time is in memory.

        Args:
            leases: Finished ones: tries are compared among them.
            columns: Of `TRACES`.
        """
        last = self.plan().last_tries(leases)
        needed = list(dict.fromkeys([*columns, *(["item_id", "try"] if last else [])]))
        read = partial(read_lease, self.path, columns=needed)
        tables = storage.in_parallel(self.path, read, leases)
        for name, table in zip(leases, tables, strict=True):
            yield name, only_last_tries(table, last).select(list(columns))

    def traces_digest(self, leases: Sequence[str]) -> str:
        """Return what changes when the traces of the finished `leases` do.

        Their files never change, so their names tell, and those of the files that were moved aside:
        a lease that is made again has its old name, and other texts.
        """
        aside = storage.list_files(storage.join(self.path, DAMAGED))
        return digest([*leases], aside) if aside else digest([*leases])

    def _summarize(self) -> Mapping[str, Summary]:
        """Return what is kept of every finished lease, in the order of their names."""
        names = self.finished()
        fresh = [name for name in names if name not in self._summaries]
        read = partial(summarize, self.path)
        for name, found in zip(fresh, storage.in_parallel(self.path, read, fresh), strict=True):
            self._summaries[name] = found
        return {name: self._summaries[name] for name in names}
