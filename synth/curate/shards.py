"""Shards: the accepted traces as supervised rows, in files of equal bytes for equal rows.

A shard holds the rows between two row ids, which lie in all leases. So each lease is read once,
its rows are put by for their shards on disk, and then one shard after the other is written: the
texts in memory are those of one shard.
"""

import hashlib
import json
import tempfile
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pyarrow as pa
from pyarrow import feather

from synth import storage
from synth.curate.policy import Policy
from synth.measures.store import to_parquet
from synth.recipes.base import Recipe
from synth.recipes.surgery import completion_text, join_sections, write_steps
from synth.records import ID_HEX, Message, TraceRow, digest, unpack_context
from synth.workspace.ids import IdSet
from synth.workspace.workspace import Workspace

BUFFER_BYTES = 128 << 20

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


def completion_of(row: TraceRow, recipe: Recipe, policy: Policy) -> str:
    """Return the supervised text of a trace.

    Args:
        row: `reasoning`, `answer`, and `payload` where `reads_payload` says so.
        recipe: The one that made it.
        policy: May choose the sections that its reasoning is made of.
    """
    payload = json.loads(row["payload"]) if reads_payload([recipe], policy) else {}
    if recipe.format == "steps":
        return write_steps(payload["steps"], row["answer"])
    chosen = chosen_sections(payload, policy)
    reasoning = row["reasoning"] if chosen is None else chosen
    return completion_text(recipe.format, reasoning, row["answer"])


def reads_payload(recipes: Iterable[Recipe], policy: Policy) -> bool:
    """Say whether more than reasoning and answer is needed for the supervised text."""
    return policy.sections is not None or any(recipe.format == "steps" for recipe in recipes)


def chosen_sections(payload: Mapping[str, Any], policy: Policy) -> str | None:
    """Return the running text of the sections the policy names.

    None where it names none, or where the trace lacks one of them.
    """
    parts: Mapping[str, str] = payload.get("sections", {})
    if policy.sections is None or not all(name in parts for name in policy.sections):
        return None
    return join_sections(parts, policy.sections)


class Spill:
    """Rows by the file they are for.

    Args:
        folder: An empty one, removed by the caller.
        schema: Of the rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.num_rows = 0
        self._folder, self._schema = folder, schema
        self._tables: list[pa.Table] = []
        self._files: list[int] = []
        self._num_bytes = 0
        self._parts: defaultdict[int, list[Path]] = defaultdict(list)

    def add(self, table: pa.Table, files: Sequence[int]) -> None:
        """Put rows by, each for the file of its number."""
        self.num_rows += len(table)
        self._num_bytes += table.nbytes
        self._tables.append(table)
        self._files.extend(files)
        if self._num_bytes > BUFFER_BYTES:
            self._flush()

    def take(self, file: int) -> pa.Table:
        """Return the rows for one file; after this no more can be added for it."""
        self._flush()
        tables = [feather.read_table(path, memory_map=False) for path in self._parts.pop(file, [])]
        return pa.concat_tables([self._schema.empty_table(), *tables])

    def _flush(self) -> None:
        if not self._files:
            return
        table, files = pa.concat_tables(self._tables), np.array(self._files)
        for file in np.unique(files).tolist():
            path = self._folder / f"{file}-{len(self._parts[file])}"
            feather.write_feather(table.filter(pa.array(files == file)), path, compression="lz4")
            self._parts[file].append(path)
        self._tables, self._files, self._num_bytes = [], [], 0


class Shard(TypedDict):
    """A file as the manifest lists it; `path` is relative to the manifest."""

    path: str
    rows: int
    bytes: int
    sha256: str


class SupervisedShard(Shard):
    """A file of supervised rows as the manifest lists it, with the rows of each arm in it."""

    arms: dict[str, int]


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
    workspace: Workspace,
    leases: Sequence[str],
    folder: str,
    accepted: pa.Table,
    *,
    recipes: Mapping[str, Recipe],
    policy: Policy,
) -> list[SupervisedShard]:
    """Write the accepted traces as `sft/train-*.parquet` and `sft/heldout-*.parquet`.

    Args:
        workspace: Has the traces.
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
            _write_supervised(folder, name, spill.take(index).sort_by("row_id").combine_chunks())
            for index, name in enumerate(names)
        ]


def _write_supervised(folder: str, name: str, table: pa.Table) -> SupervisedShard:
    arms = Counter(table["arm"].to_pylist())
    return {**write_shard(folder, name, table), "arms": dict(sorted(arms.items()))}


def _kept(
    workspace: Workspace, leases: Sequence[str], accepted: pa.Table, columns: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Yield each lease's accepted traces."""
    wanted = IdSet(chunk.to_pylist() for chunk in accepted["row_id"].chunks)
    for _, traces in workspace.stream_traces(leases, columns):
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
