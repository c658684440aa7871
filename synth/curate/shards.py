"""Shards: the kept traces as supervised rows, in files of equal bytes for equal rows."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import ledger, storage
from synth.chat import Message
from synth.digest import ID_HEX, digest
from synth.measures.store import to_parquet
from synth.records import unpack_context

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

SFT = pa.schema(
    [
        ("row_id", pa.string()),
        ("seed_id", pa.string()),
        ("prompt", MESSAGES),
        ("completion", MESSAGES),
        ("category", pa.string()),
        ("label", pa.string()),
        ("arm", pa.string()),
    ]
)

Split = Literal["train", "heldout"]

_READ = (
    *("row_id", "try", "seed_id", "prompt", "context", "reasoning", "answer"),
    *("category", "label", "recipe"),
)


class Shard(TypedDict):
    """A file as the manifest lists it; `path` is relative to the manifest."""

    path: str
    rows: int
    bytes: int
    sha256: str


def is_heldout(group: str, share: float) -> bool:
    """Say whether a pair, or a seed without one, is kept out of training: by content alone."""
    return int(digest("heldout", group), 16) < share * 16**ID_HEX


def supervised_row(trace: Mapping[str, Any], formats: Mapping[str, str]) -> dict[str, Any]:
    """Return a trace as a row of `SFT`.

    The input is the seed's own turns and nothing else: the guidelines are never in it.
    """
    turns = [*unpack_context(trace["context"]), Message(role="user", content=trace["prompt"])]
    text = trace["answer"]
    if formats[trace["recipe"]] == "think":
        text = f"<think>\n{trace['reasoning']}\n</think>\n\n{text}"
    return {
        "row_id": trace["row_id"],
        "seed_id": trace["seed_id"],
        "prompt": turns,
        "completion": [Message(role="assistant", content=text)],
        "category": trace["category"],
        "label": trace["label"],
        "arm": trace["recipe"],
    }


def write_shards(
    workspace: str,
    folder: str,
    accepted: pa.Table,
    *,
    formats: Mapping[str, str],
    heldout_share: float,
    shard_rows: int,
) -> list[Shard]:
    """Write the accepted traces as `sft/train-*.parquet` and `sft/heldout-*.parquet`.

    Args:
        workspace: Folder that holds `traces/`.
        folder: Where `sft/` goes.
        accepted: `row_id`, `try`, `seed_id` and `pair` of the traces to write.
        formats: Recipe to `think` or `answer`.
        heldout_share: Share of the prompts kept out of training, whole pairs.
        shard_rows: Rows in one file at most.
    """
    splits: dict[Split, list[str]] = {"train": [], "heldout": []}
    columns = (accepted[name].to_pylist() for name in ("row_id", "seed_id", "pair"))
    for row_id, seed_id, pair in zip(*columns, strict=True):
        splits["heldout" if is_heldout(pair or seed_id, heldout_share) else "train"].append(row_id)
    rows = _gather(workspace, accepted, formats)
    return [
        shard
        for split, row_ids in splits.items()
        for shard in _write_split(folder, split, rows, sorted(row_ids), shard_rows)
    ]


def _gather(workspace: str, accepted: pa.Table, formats: Mapping[str, str]) -> pa.Table:
    """Read the accepted traces, a lease at a time, and make supervised rows of them."""
    tries = dict(zip(accepted["row_id"].to_pylist(), accepted["try"].to_pylist(), strict=True))
    tables = [SFT.empty_table()]
    for lease in ledger.finished(workspace):
        with storage.open_input(ledger.lease_path(workspace, lease)) as source:
            traces = pq.read_table(source, columns=list(_READ))
        attempts = zip(traces["row_id"].to_pylist(), traces["try"].to_pylist(), strict=True)
        # Of an item's tries only the one that was selected.
        wanted = [tries.get(row_id) == attempt for row_id, attempt in attempts]
        kept = traces.filter(pa.array(wanted, pa.bool_())).to_pylist()
        tables.append(pa.Table.from_pylist([supervised_row(t, formats) for t in kept], SFT))
    rows = pa.concat_tables(tables)
    assert len(rows) == len(accepted), f"{len(accepted)} accepted traces, {len(rows)} found"
    return rows


def _write_split(
    folder: str, split: Split, rows: pa.Table, row_ids: Sequence[str], shard_rows: int
) -> list[Shard]:
    """Write those of `rows` with the sorted `row_ids`, in that order; no file for none."""
    mine = rows.filter(pc.field("row_id").isin(pa.array(row_ids, pa.string())))
    count = -(-len(row_ids) // shard_rows)
    shards = []
    for index in range(count):
        inside = row_ids[index * shard_rows : (index + 1) * shard_rows]
        between = (pc.field("row_id") >= inside[0]) & (pc.field("row_id") <= inside[-1])
        # One chunk: where chunks end would otherwise show in the file's pages.
        table = mine.filter(between).sort_by("row_id").combine_chunks()
        name = f"sft/{split}-{index:05d}-of-{count:05d}.parquet"
        shards.append(_write(folder, name, table))
    return shards


def _write(folder: str, name: str, table: pa.Table) -> Shard:
    data = to_parquet(table)
    storage.publish(storage.join(folder, name), data)
    sha256 = hashlib.sha256(data).hexdigest()
    return Shard(path=name, rows=len(table), bytes=len(data), sha256=sha256)
