"""Plans: items cut into leases, published as rounds.

A round is one parquet file. A row group holds about `GROUP_ROWS` rows of one or more whole leases,
so that a worker reads little beyond its own rows, and the footer stays small beside them. A
lease holds items of one step of one recipe, for one student where that step asks one, so that it
needs these models alone; its name is a digest of its `(item_id, try)` pairs.

Of a round that was read, `Plan` keeps who holds which item. The items themselves are read where
they are worked on, some leases at a time.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby, islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synth import storage
from synth.records import Item, digest, pack_context, seed_of
from synth.workspace.damage import naming_damage, open_parquet
from synth.workspace.ids import NO_IDS, PackedIds, find, pack

PLAN = pa.schema(
    [
        ("lease", pa.string()),
        ("item_id", pa.string()),
        ("try", pa.int32()),
        ("recipe", pa.string()),
        ("step", pa.int32()),
        ("student", pa.string()),
        ("guidelines", pa.string()),
        ("sample_index", pa.int32()),
        ("round", pa.int32()),
        ("parents", pa.list_(pa.string())),
        ("payload", pa.string()),
        ("seed_id", pa.string()),
        ("prompt", pa.string()),
        ("context", pa.string()),
        ("label", pa.string()),
        ("category", pa.string()),
        ("source", pa.string()),
        ("pair", pa.string()),
    ]
)

MIN_LEASE_ROWS, MAX_LEASE_ROWS = 16, 1024
LEASES_PER_PLAN = 20_000
GROUP_ROWS = 1024

LeaseKind = tuple[str, int]  # of items: a recipe's name and the step


class Lease(NamedTuple):
    """Where a lease's rows stand: the unit one worker runs and one file holds.

    Attributes:
        name: Digest of its attempts.
        round: The round's number.
        group: The row group of the round's file.
        num_rows: Its rows.
        start: The first of them within the row group.
        recipe: The recipe of its items.
        step: Their step.
        student: The trained model that they were planned for; empty for none.
        guidelines: The guideline sets that they name, each once; an empty name is none.
    """

    name: str
    round: int
    group: int
    num_rows: int
    start: int = 0
    recipe: str = ""
    step: int = 0
    student: str = ""
    guidelines: tuple[str, ...] = ()

    @property
    def kind(self) -> LeaseKind:
        """Recipe and step of its items."""
        return (self.recipe, self.step)


def lease_rows(num_items: int) -> int:
    """Return how many rows a lease of a plan of `num_items` has."""
    return min(MAX_LEASE_ROWS, max(MIN_LEASE_ROWS, num_items // LEASES_PER_PLAN))


def lease_name(items: Sequence[Item]) -> str:
    """Return the digest of the attempts in a lease."""
    return digest([item.key for item in items])


class Try(NamedTuple):
    """A planned try beyond an item's first."""

    item_id: str
    attempt: int
    lease: str


class Round(NamedTuple):
    """What is kept of a round's file.

    Attributes:
        index: Its number.
        leases: Its leases, in their order.
        ids: The item of every row, in their order.
        later: The rows that are not their item's first try.
    """

    index: int
    leases: Sequence[Lease]
    ids: PackedIds
    later: Sequence[Try]


@dataclass(frozen=True)
class Plan:
    """What some rounds plan, in sixteen bytes an item. It never changes; `extended` makes another.

    Attributes:
        rounds: Numbers of the rounds.
        leases: Their leases, in their order.
        later: Every planned try of the items that have more than one, but the first.
    """

    rounds: tuple[int, ...] = ()
    leases: tuple[Lease, ...] = ()
    later: Mapping[str, Sequence[Try]] = field(default_factory=dict)
    _ids: PackedIds = field(default_factory=lambda: NO_IDS)  # sorted
    _lease_of: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))

    def extended(self, rounds: Iterable[Round]) -> "Plan":
        """Return the plan of these rounds and further ones."""
        leases, indexes = list(self.leases), list(self.rounds)
        later = {item_id: list(tries) for item_id, tries in self.later.items()}
        ids, lease_of = [self._ids], [self._lease_of]
        for found in rounds:
            places = np.arange(len(leases), len(leases) + len(found.leases), dtype=np.uint32)
            lease_of.append(np.repeat(places, [lease.num_rows for lease in found.leases]))
            ids.append(found.ids)
            leases += found.leases
            indexes.append(found.index)
            for one in found.later:
                later.setdefault(one.item_id, []).append(one)
        all_ids, all_of = np.concatenate(ids), np.concatenate(lease_of)
        order = np.argsort(all_ids, kind="stable")  # what was planned first stays first
        all_ids, all_of = all_ids[order], all_of[order]
        first = np.concatenate([[True], all_ids[1:] != all_ids[:-1]])[: len(all_ids)]
        return Plan(tuple(indexes), tuple(leases), later, all_ids[first], all_of[first])

    @property
    def next_round(self) -> int:
        """The number of the round that follows."""
        return max(self.rounds, default=-1) + 1

    @cached_property
    def by_name(self) -> Mapping[str, Lease]:
        """The leases by their names."""
        return {lease.name: lease for lease in self.leases}

    def num_items(self, step: int | None = None) -> int:
        """Return how many items are planned, of all steps or of one."""
        if step is None:
            return len(self._ids)
        of_step = np.array([lease.step == step for lease in self.leases], bool)
        return int(np.count_nonzero(of_step[self._lease_of]))

    def contains(self, ids: Iterable[str]) -> NDArray[np.bool_]:
        """Say of each of `ids` whether it is planned."""
        return find(pack(ids), self._ids) >= 0

    def first_leases(self, ids: Iterable[str]) -> list[Lease]:
        """Return the leases that hold the first try of any of `ids`, in their order."""
        places = find(pack(ids), self._ids)
        return [self.leases[place] for place in np.unique(self._lease_of[places[places >= 0]])]

    def all_leases(self, ids: Iterable[str]) -> list[Lease]:
        """Return the leases that hold any try of any of `ids`, in their order."""
        asked = set(ids)
        names = {lease.name for lease in self.first_leases(asked)}
        names |= {one.lease for item_id in asked & self.later.keys() for one in self.later[item_id]}
        return [lease for lease in self.leases if lease.name in names]

    def last_try(self, item_id: str) -> int:
        """Return the highest planned try of an item."""
        return max((one.attempt for one in self.later.get(item_id, ())), default=0)

    def last_tries(self, names: Iterable[str]) -> dict[str, int]:
        """Return the highest try in the leases `names`, of the items that have later ones there."""
        there = set(names)
        last: dict[str, int] = {}
        for item_id, tries in self.later.items():
            if attempts := [one.attempt for one in tries if one.lease in there]:
                last[item_id] = max(attempts)
        return last


def pack_round(
    index: int, items: Iterable[Item], rows: int, rows_of: Mapping[LeaseKind, int] | None = None
) -> bytes:
    """Cut `items` into leases and return the file of round `index`.

    Items keep their order, so those that share a prompt prefix stay together.

    Args:
        index: Number of the round.
        items: The attempts to plan.
        rows: Rows of a lease.
        rows_of: The same of single steps that want another number.
    """
    sink = pa.BufferOutputStream()
    schema = PLAN.with_metadata({"lease_rows": str(rows)})
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(_cut(items, rows, rows_of or {})):
            table = _to_table(index, group)
            writer.write_table(table, row_group_size=len(table))
    return sink.getvalue().to_pybytes()


def _cut(
    items: Iterable[Item], rows: int, rows_of: Mapping[LeaseKind, int]
) -> Iterator[list[Item]]:
    """Yield the leases: consecutive items of one kind, for one student."""
    for kind, same in groupby(items, key=lambda item: (item.recipe, item.step, item.student)):
        while lease := list(islice(same, rows_of.get(kind[:2], rows))):
            yield lease


def _groups(leases: Iterable[list[Item]]) -> Iterator[list[list[Item]]]:
    """Yield whole leases, together about a row group's rows."""
    group: list[list[Item]] = []
    num_rows = 0
    for lease in leases:
        if group and num_rows + len(lease) > GROUP_ROWS:
            yield group
            group, num_rows = [], 0
        group.append(lease)
        num_rows += len(lease)
    if group:
        yield group


_ROUND_FILE = re.compile(r"round-(\d{3,})\.parquet")
_NARROW = ("lease", "item_id", "try", "recipe", "step", "student", "guidelines")
_FOOTERS = 16  # of rounds, kept by a process: each lease would read its round's anew


def plan_folder(folder: str) -> str:
    """Return the folder of the rounds."""
    return storage.join(folder, "plan")


def round_path(folder: str, index: int) -> str:
    """Return the path of a round's file."""
    return storage.join(plan_folder(folder), f"round-{index:03d}.parquet")


def list_rounds(folder: str) -> list[int]:
    """Return the numbers of the published rounds; other files there are none."""
    names = map(_ROUND_FILE.fullmatch, storage.list_files(plan_folder(folder)))
    return sorted(int(name[1]) for name in names if name)


def read_round(folder: str, index: int) -> Round:
    """Read a published round, its narrow columns alone.

    Raises:
        BadInput: The file is damaged.
    """
    with open_parquet(round_path(folder, index)) as file:
        return to_round(index, file)


def to_round(index: int, file: pq.ParquetFile) -> Round:
    """Return what is kept of a round, a row group at a time in memory."""
    leases: list[Lease] = []
    ids = [NO_IDS]
    later: list[Try] = []
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=list(_NARROW)).combine_chunks()
        leases += _leases(index, group, table)
        ids.append(pack(table["item_id"].to_pylist()))
        again = table.filter(pc.field("try") > 0)
        later += map(Try, *(again[name].to_pylist() for name in ("item_id", "try", "lease")))
    return Round(index, leases, np.concatenate(ids), later)


def _leases(index: int, group: int, table: pa.Table) -> Iterator[Lease]:
    """Yield the leases of a row group, each a run of rows."""
    numbers = table["lease"].chunk(0).dictionary_encode().indices.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist()]
    for start, end in pairwise([*starts, len(table)]):
        rows = table.slice(start, end - start)
        [first] = rows.slice(0, 1).to_pylist()
        yield Lease(
            name=first["lease"],
            round=index,
            group=group,
            num_rows=len(rows),
            start=start,
            recipe=first["recipe"],
            step=first["step"],
            student=first.get("student") or "",  # earlier versions had no such column
            guidelines=tuple(sorted(rows["guidelines"].unique().to_pylist())),
        )


def read_candidates(folder: str, index: int) -> pa.Table:
    """Return how many items of first steps a round holds of each seed and recipe.

    Its columns: `recipe`, `label`, `category`, `seed_id` and `count_all`.
    """
    kept = ["recipe", "label", "category", "seed_id"]
    first_try = (pc.field("step") == 0) & (pc.field("try") == 0)
    with open_parquet(round_path(folder, index)) as file:
        rows = file.read([*kept, "step", "try"]).filter(first_try)
    return rows.group_by(kept).aggregate([([], "count_all")])


def read_items(folder: str, lease: Lease) -> list[Item]:
    """Return the items of one lease."""
    [(_, rows)] = read_lease_rows(folder, [lease])
    return to_items(rows)


def read_lease_rows(folder: str, leases: Iterable[Lease]) -> Iterator[tuple[Lease, pa.Table]]:
    """Yield leases with their rows of the plan; a row group is read once for its neighbours."""
    for (index, group), there in groupby(leases, key=lambda lease: (lease.round, lease.group)):
        path = round_path(folder, index)
        with storage.open_input(path) as source, naming_damage(path):
            file = pq.ParquetFile(source, metadata=_footer(path, source.size()))
            table = file.read_row_group(group)
        for lease in there:
            yield lease, table.slice(lease.start, lease.num_rows)


@lru_cache(maxsize=_FOOTERS)
def _footer(path: str, num_bytes: int) -> pq.FileMetaData:
    """Return a round's footer; what is published never changes."""
    with open_parquet(path) as file:
        return file.metadata


def to_items(rows: pa.Table) -> list[Item]:
    """Return the items in rows of a plan."""
    return [_to_item(row) for row in rows.to_pylist()]


def _to_table(index: int, leases: Sequence[Sequence[Item]]) -> pa.Table:
    named = ((lease_name(lease), lease) for lease in leases)
    flat = [_to_row(item, index, name) for name, lease in named for item in lease]
    return pa.Table.from_pylist(flat, schema=PLAN)


def _to_row(item: Item, index: int, lease: str) -> dict[str, object]:
    seed = item.seed
    return {
        "lease": lease,
        "item_id": item.item_id,
        "try": item.attempt,
        "recipe": item.recipe,
        "step": item.step,
        "student": item.student,
        "guidelines": item.guidelines,
        "sample_index": item.sample_index,
        "round": index,
        "parents": list(item.parents),
        "payload": json.dumps(dict(item.payload), ensure_ascii=False, sort_keys=True),
        "seed_id": seed.seed_id,
        "prompt": seed.prompt,
        "context": pack_context(seed.context),
        "label": seed.label,
        "category": seed.category,
        "source": seed.source,
        "pair": seed.pair,
    }


def _to_item(row: dict[str, Any]) -> Item:
    return Item(
        seed=seed_of(row),
        recipe=row["recipe"],
        step=row["step"],
        guidelines=row["guidelines"],
        sample_index=row["sample_index"],
        parents=tuple(row["parents"]),
        payload=json.loads(row["payload"]),
        round=row["round"],
        attempt=row["try"],
    )
