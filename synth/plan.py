"""Plans: items cut into leases, published as rounds.

A round is one parquet file, one row group a lease, so that a worker reads its own rows and
nothing else. A lease's name is a digest of its `(item_id, try)` pairs.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from synth import storage
from synth.digest import digest
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


class Lease(NamedTuple):
    """Where a lease's rows stand: the unit one worker runs and one file holds."""

    name: str
    round: int
    group: int
    num_rows: int


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
        rows: Rows of a lease; chosen by `lease_rows` where None.
    """
    items = list(items)
    rows = rows or lease_rows(len(items))
    metadata = {"lease_rows": str(rows), "num_items": str(len(items))}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, PLAN.with_metadata(metadata), compression="zstd") as writer:
        for start in range(0, len(items), rows):
            writer.write_table(_to_table(items[start : start + rows]), row_group_size=rows)
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
    with storage.open_input(round_path(workspace, index)) as source:
        file = pq.ParquetFile(source)
        leases = []
        for group in range(file.num_row_groups):
            names = file.read_row_group(group, columns=["lease"])["lease"]
            leases.append(Lease(names[0].as_py(), index, group, len(names)))
    return leases


def read_items(workspace: str, lease: Lease) -> list[Item]:
    """Return the items of one lease."""
    with storage.open_input(round_path(workspace, lease.round)) as source:
        table = pq.ParquetFile(source).read_row_group(lease.group)
    return [_to_item(row) for row in table.to_pylist()]


def planned_items(workspace: str, wanted: set[str]) -> Iterator[Item]:
    """Yield the planned items whose `item_id` is wanted, each once, from its first round."""
    left = set(wanted)
    for index in range(num_rounds(workspace)):
        for lease in read_leases(workspace, index):
            for item in read_items(workspace, lease):
                if item.item_id in left:
                    left.discard(item.item_id)
                    yield item


def planned_tries(workspace: str) -> dict[str, int]:
    """Return the highest planned try of every item."""
    tries: dict[str, int] = {}
    for index in range(num_rounds(workspace)):
        with storage.open_input(round_path(workspace, index)) as source:
            table = pq.read_table(source, columns=["item_id", "try"])
        for item_id, attempt in zip(*table.to_pydict().values(), strict=True):
            tries[item_id] = max(attempt, tries.get(item_id, 0))
    return tries


def _to_table(items: Sequence[Item]) -> pa.Table:
    name = lease_name(items)
    return pa.Table.from_pylist([_to_row(item, name) for item in items], schema=PLAN)


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
