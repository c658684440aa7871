"""Shards: the accepted traces as supervised rows, in files of equal bytes for equal rows.

A shard holds the rows between two row ids, which lie in all leases. So each lease is read once,
its rows are put by for their shards on disk, and then one shard after the other is written: the
texts in memory are those of one shard.
"""

import hashlib
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypedDict

import pyarrow as pa

from synth import storage
from synth.curate.completion import completion_of, reads_payload
from synth.curate.policy import Policy
from synth.curate.spill import Spill
from synth.digest import ID_HEX, digest
from synth.measures.store import to_parquet
from synth.recipes.base import Recipe
from synth.records import Message, unpack_context
from synth.workspace import ledger
from synth.workspace.known import Known

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
    *("row_id", "seed_id", "pair", "prompt", "context", "reasoning", "answer"),
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


@lru_cache(maxsize=65_536)
def split_of(group: str, heldout_share: float) -> Split:
    """Return the side that a pair, or a seed without one, is on."""
    return "heldout" if is_heldout(group, heldout_share) else "train"


def supervised_row(
    trace: Mapping[str, Any], recipes: Mapping[str, Recipe], policy: Policy
) -> dict[str, Any]:
    """Return a trace as a row of `SFT`.

    The input is the seed's own turns and nothing else: the guidelines are never in it.
    """
    turns = [*unpack_context(trace["context"]), Message(role="user", content=trace["prompt"])]
    text = completion_of(trace, recipes[trace["recipe"]], policy)
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
    leases: Sequence[str],
    folder: str,
    accepted: pa.Table,
    *,
    recipes: Mapping[str, Recipe],
    policy: Policy,
) -> list[Shard]:
    """Write the accepted traces as `sft/train-*.parquet` and `sft/heldout-*.parquet`.

    Args:
        workspace: Folder that holds `traces/`.
        leases: Those that hold them.
        folder: Where `sft/` goes.
        accepted: `row_id`, `seed_id` and `pair` of the traces to write.
        recipes: By name; those of the traces.
        policy: Has the form of the rows, the share of the prompts kept out of training (whole
            pairs), and the rows in one file at most.
    """
    firsts = _first_rows(accepted, policy.heldout_share, policy.shard_rows)
    names = [
        f"sft/{split}-{index:05d}-of-{len(row_ids):05d}.parquet"
        for split, row_ids in firsts.items()
        for index in range(len(row_ids))
    ]

    def place(trace: Mapping[str, Any]) -> int:
        """Return the index of the shard that a trace belongs to."""
        split = split_of(trace["pair"] or trace["seed_id"], policy.heldout_share)
        before = len(firsts["train"]) if split == "heldout" else 0
        return before + bisect_right(firsts[split], trace["row_id"]) - 1

    with tempfile.TemporaryDirectory(prefix="guideweave-") as temporary:
        spill = Spill(Path(temporary), SFT)
        columns = (*_READ, "payload") if reads_payload(recipes.values(), policy) else _READ
        for traces in _kept(workspace, leases, accepted, columns):
            supervised = [supervised_row(trace, recipes, policy) for trace in traces]
            spill.add(pa.Table.from_pylist(supervised, SFT), list(map(place, traces)))
        assert spill.num_rows == len(accepted), f"{len(accepted)} rows, {spill.num_rows} found"
        return [
            # One chunk: where chunks end would otherwise show in the file's pages.
            write_shard(folder, name, spill.take(index).sort_by("row_id").combine_chunks())
            for index, name in enumerate(names)
        ]


def _kept(
    workspace: str, leases: Sequence[str], accepted: pa.Table, columns: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Yield each lease's accepted traces."""
    wanted = Known(chunk.to_pylist() for chunk in accepted["row_id"].chunks)
    for _, traces in ledger.stream_traces(workspace, leases, columns):
        yield traces.filter(pa.array(wanted.contains(traces["row_id"].to_pylist()))).to_pylist()


def _first_rows(
    accepted: pa.Table, heldout_share: float, shard_rows: int
) -> dict[Split, list[str]]:
    """Return the least `row_id` in each shard: as many rows are in one as fit."""
    splits: dict[Split, list[str]] = {"train": [], "heldout": []}
    columns = (accepted[name].to_pylist() for name in ("row_id", "seed_id", "pair"))
    for row_id, seed_id, pair in zip(*columns, strict=True):
        splits[split_of(pair or seed_id, heldout_share)].append(row_id)
    return {split: sorted(row_ids)[::shard_rows] for split, row_ids in splits.items()}


def write_shard(folder: str, name: str, table: pa.Table) -> Shard:
    """Publish a table of one chunk as the file `name` of `folder`."""
    data = to_parquet(table)
    storage.publish(storage.join(folder, name), data)
    sha256 = hashlib.sha256(data).hexdigest()
    return Shard(path=name, rows=len(table), bytes=len(data), sha256=sha256)
