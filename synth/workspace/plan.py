"""Plans: items cut into leases, published as rounds.

A round is one parquet file. A row group holds about `GROUP_ROWS` rows of one or more whole leases,
so that a worker reads little beyond its own rows, and the footer stays small beside them. A
lease holds items of one step of one recipe, for one student where that step asks one, so that it
needs these models alone; its name is a digest of its `(item_id, try)` pairs. Nothing here holds a
whole round's items.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synth import storage
from synth.records import ID_HEX, Item, digest, pack_context, seed_of

_FORM = f"S{ID_HEX // 2}"


class Known:
    """A fixed set of identifiers.

    Args:
        parts: The identifiers, some at a time; one that comes again is held once.
    """

    def __init__(self, parts: Iterable[Sequence[str]]) -> None:
        packed = bytearray()
        for part in parts:
            packed += bytes.fromhex("".join(part))
        self._sorted = np.unique(np.frombuffer(packed, _FORM))

    def __len__(self) -> int:
        return len(self._sorted)

    def contains(self, identifiers: Sequence[str]) -> NDArray[np.bool_]:
        """Say of each of `identifiers` whether it is one of these."""
        asked = np.frombuffer(bytes.fromhex("".join(identifiers)), _FORM)
        if not len(self):
            return np.zeros(len(asked), bool)
        places = np.searchsorted(self._sorted, asked)
        return self._sorted[np.minimum(places, len(self) - 1)] == asked


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
_FOOTERS = 16  # of rounds, kept by a process: each lease would read its round's anew

Kind = tuple[str, int]  # of items: a recipe's name and the step


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
    """

    name: str
    round: int
    group: int
    num_rows: int
    start: int = 0
    recipe: str = ""
    step: int = 0
    student: str = ""

    @property
    def kind(self) -> Kind:
        """Recipe and step of its items."""
        return (self.recipe, self.step)


def lease_rows(num_items: int) -> int:
    """Return how many rows a lease of a plan of `num_items` has."""
    return min(MAX_LEASE_ROWS, max(MIN_LEASE_ROWS, num_items // LEASES_PER_PLAN))


def lease_name(items: Sequence[Item]) -> str:
    """Return the digest of the attempts in a lease."""
    return digest([item.key for item in items])


def publish_round(
    workspace: str,
    index: int,
    items: Iterable[Item],
    *,
    rows: int | None = None,
    rows_of: Mapping[Kind, int] | None = None,
) -> list[Lease]:
    """Cut `items` into leases and publish them as round `index`.

    Items keep their order, so those that share a prompt prefix stay together. Where another
    driver has published this round first, its leases are returned.

    Args:
        workspace: Folder that holds `plan/` and `traces/`.
        index: Number of the round.
        items: The attempts to plan.
        rows: Rows of a lease; chosen by `lease_rows` where None, from the number of `items`.
        rows_of: The same of single steps that want another number.
    """
    if rows is None:
        items = list(items)
        rows = lease_rows(len(items))
    sink = pa.BufferOutputStream()
    schema = PLAN.with_metadata({"lease_rows": str(rows)})
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(_cut(items, rows, rows_of or {})):
            table = _to_table(group)
            writer.write_table(table, row_group_size=len(table))
    storage.publish(round_path(workspace, index), sink.getvalue().to_pybytes())
    return read_leases(workspace, index)


def _cut(items: Iterable[Item], rows: int, rows_of: Mapping[Kind, int]) -> Iterator[list[Item]]:
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


def round_path(workspace: str, index: int) -> str:
    """Return the path of a round's file."""
    return storage.join(workspace, "plan", f"round-{index:03d}.parquet")


def num_rounds(workspace: str) -> int:
    """Return how many rounds are published."""
    return len(storage.list_files(storage.join(workspace, "plan")))


def read_leases(workspace: str, index: int) -> list[Lease]:
    """Return the leases of a published round, from its narrow columns alone."""
    leases = []
    columns = ("lease", "recipe", "step", "student")
    for group, table in enumerate(_read_groups(workspace, index, columns)):
        start = 0
        rows = zip(*(_column(table, name) for name in columns), strict=True)
        for name, same in groupby(rows, key=itemgetter(0)):
            (_, recipe, step, student), *rest = same
            num_rows = 1 + len(rest)
            leases.append(Lease(name, index, group, num_rows, start, recipe, step, student or ""))
            start += num_rows
    return leases


def _column(table: pa.Table, name: str) -> list[Any]:
    """Return a column; plans of an earlier version have none for students."""
    there = name in table.column_names
    return table[name].to_pylist() if there else [None] * len(table)


def read_items(workspace: str, lease: Lease) -> list[Item]:
    """Return the items of one lease."""
    path = round_path(workspace, lease.round)
    with storage.open_input(path) as source:
        file = pq.ParquetFile(source, metadata=_footer(path, source.size()))
        table = file.read_row_group(lease.group).slice(lease.start, lease.num_rows)
    return [_to_item(row) for row in table.to_pylist()]


def planned_items(workspace: str, wanted: set[str]) -> Iterator[Item]:
    """Yield the planned items whose `item_id` is wanted, each once, from its first round."""
    left = set(wanted)
    for index in range(num_rounds(workspace)):
        for table in _read_groups(workspace, index, PLAN.names):
            if not left:
                return
            for item in map(
                _to_item, table.filter(pc.field("item_id").isin(sorted(left))).to_pylist()
            ):
                if item.item_id in left:
                    left.discard(item.item_id)
                    yield item


def planned_tries(workspace: str, wanted: set[str] | None = None) -> dict[str, int]:
    """Return the highest planned try of every item, or of those wanted."""
    tries: dict[str, int] = {}
    for index in range(num_rounds(workspace)):
        for table in _read_groups(workspace, index, ["item_id", "try"]):
            columns = (table[name].to_pylist() for name in ("item_id", "try"))
            for item_id, attempt in zip(*columns, strict=True):
                if wanted is None or item_id in wanted:
                    tries[item_id] = max(attempt, tries.get(item_id, 0))
    return tries


def planned_ids(workspace: str) -> Known:
    """Return which items are planned."""
    return Known(
        table["item_id"].to_pylist()
        for index in range(num_rounds(workspace))
        for table in _read_groups(workspace, index, ["item_id"])
    )


def planned_candidates(workspace: str) -> Iterator[pa.Table]:
    """Yield recipe, label, category and seed of the first steps' items, each item once."""
    first_try = (pc.field("step") == 0) & (pc.field("try") == 0)
    columns = ["recipe", "label", "category", "seed_id"]
    for index in range(num_rounds(workspace)):
        for table in _read_groups(workspace, index, [*columns, "step", "try"]):
            yield table.filter(first_try).select(columns)


def _read_groups(workspace: str, index: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield columns of a round's file, a row group at a time."""
    with storage.open_input(round_path(workspace, index)) as source:
        file = pq.ParquetFile(source)
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=list(columns))


@lru_cache(maxsize=_FOOTERS)
def _footer(path: str, num_bytes: int) -> pq.FileMetaData:
    """Return a round's footer; what is published never changes."""
    with storage.open_input(path) as source:
        return pq.read_metadata(source)


def _to_table(leases: Sequence[Sequence[Item]]) -> pa.Table:
    named = ((lease_name(lease), lease) for lease in leases)
    flat = [_to_row(item, name) for name, lease in named for item in lease]
    return pa.Table.from_pylist(flat, schema=PLAN)


def _to_row(item: Item, lease: str) -> dict[str, object]:
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
        "round": item.round,
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


def _to_item(row: dict) -> Item:
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
