"""Plans: items cut into leases, published as rounds.

A round is one parquet file. A row group holds about `GROUP_ROWS` rows of one or more whole leases,
so that a worker reads little beyond its own rows, and the footer stays small beside them. A
lease's name is a digest of its `(item_id, try)` pairs. Nothing here holds a whole round's items.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.digest import digest
from synth.known import Known
from synth.records import Item, pack_context, seed_of

PLAN = pa.schema(
    [
        ("lease", pa.string()),
        ("item_id", pa.string()),
        ("try", pa.int32()),
        ("recipe", pa.string()),
        ("step", pa.int32()),
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


class Lease(NamedTuple):
    """Where a lease's rows stand: the unit one worker runs and one file holds.

    Attributes:
        name: Digest of its attempts.
        round: The round's number.
        group: The row group of the round's file.
        num_rows: Its rows.
        start: The first of them within the row group.
    """

    name: str
    round: int
    group: int
    num_rows: int
    start: int = 0


def lease_rows(num_items: int) -> int:
    """Return how many rows a lease of a plan of `num_items` has."""
    return min(MAX_LEASE_ROWS, max(MIN_LEASE_ROWS, num_items // LEASES_PER_PLAN))


def lease_name(items: Sequence[Item]) -> str:
    """Return the digest of the attempts in a lease."""
    return digest([item.key for item in items])


def publish_round(
    workspace: str, index: int, items: Iterable[Item], *, rows: int | None = None
) -> list[Lease]:
    """Cut `items` into leases and publish them as round `index`.

    Items keep their order, so those that share a prompt prefix stay together. Where another
    driver has published this round first, its leases are returned.

    Args:
        workspace: Folder that holds `plan/` and `traces/`.
        index: Number of the round.
        items: The attempts to plan.
        rows: Rows of a lease; chosen by `lease_rows` where None, from the number of `items`.
    """
    if rows is None:
        items = list(items)
        rows = lease_rows(len(items))
    left = iter(items)
    group_rows = rows * max(1, GROUP_ROWS // rows)
    sink = pa.BufferOutputStream()
    schema = PLAN.with_metadata({"lease_rows": str(rows)})
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while group := list(islice(left, group_rows)):
            writer.write_table(_to_table(group, rows), row_group_size=group_rows)
    storage.publish(round_path(workspace, index), sink.getvalue().to_pybytes())
    return read_leases(workspace, index)


def round_path(workspace: str, index: int) -> str:
    """Return the path of a round's file."""
    return storage.join(workspace, "plan", f"round-{index:03d}.parquet")


def num_rounds(workspace: str) -> int:
    """Return how many rounds are published."""
    return len(storage.list_files(storage.join(workspace, "plan")))


def read_leases(workspace: str, index: int) -> list[Lease]:
    """Return the leases of a published round, from its `lease` column alone."""
    leases = []
    for group, column in enumerate(_read_groups(workspace, index, ["lease"])):
        start = 0
        for name, rows in groupby(column["lease"].to_pylist()):
            num_rows = sum(1 for _ in rows)
            leases.append(Lease(name, index, group, num_rows, start))
            start += num_rows
    return leases


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


def _to_table(items: Sequence[Item], rows: int) -> pa.Table:
    leases = (items[start : start + rows] for start in range(0, len(items), rows))
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
