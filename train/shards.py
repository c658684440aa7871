"""Reading the shards that a curation's manifest lists, each checked against its sha256."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.curate import SFT
from synth.curate.shards import Split
from synth.errors import BadInput
from synth.workspace.stage import MANIFEST, read_manifest
from train.config import Match
from train.match import Key, choose


def read_split(curated: str, split: Split) -> pa.Table:
    """Return all supervised rows of a split, all arms together.

    Args:
        curated: Folder of the curation's manifest.
        split: Rows to train on, or rows kept out of training.

    Raises:
        BadInput: A shard is not the file that the manifest lists.
        FileNotFoundError: Curation has not finished.
    """
    entries = (s for s in listed(curated) if s["path"].startswith(f"sft/{split}-"))
    return read_shards(curated, entries, SFT)


def choose_rows(rows: pa.Table, arms: Sequence[str], match: Match) -> dict[str, pa.Table]:
    """Return each arm's rows, in the order of `row_id`."""
    keys = map(Key, *(rows.column(name).to_pylist() for name in Key._fields))
    chosen = choose(keys, arms, match)
    return {arm: _pick(rows, arm, row_ids) for arm, row_ids in chosen.items()}


def listed(curated: str) -> Iterator[Mapping[str, Any]]:
    """Yield the shards that the manifest of a curation lists.

    Raises:
        FileNotFoundError: Curation has not finished.
    """
    manifest = read_manifest(curated)
    if manifest is None:
        raise FileNotFoundError(f"{curated}: no manifest, curation has not finished")
    yield from manifest["shards"]


def read_shards(curated: str, entries: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return the rows of these shards, one after the other.

    Raises:
        BadInput: A shard is not the file that the manifest lists.
    """
    tables = [_read_shard(curated, entry).select(schema.names).cast(schema) for entry in entries]
    return pa.concat_tables([schema.empty_table(), *tables])


def _pick(rows: pa.Table, arm: str, row_ids: Sequence[str]) -> pa.Table:
    wanted = pc.field("row_id").isin(pa.array(row_ids, pa.string()))
    return rows.filter((pc.field("arm") == arm) & wanted).sort_by("row_id")


def _read_shard(curated: str, entry: Mapping[str, Any]) -> pa.Table:
    path = storage.join(curated, entry["path"])
    # Hashed and parsed from the same bytes: what was checked is what is trained on.
    data = storage.read(path)
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise BadInput(
            file=path,
            field="sha256",
            value=entry["sha256"],
            rule=f"the file's bytes are not those {MANIFEST} lists; curate again",
        )
    return pq.read_table(io.BytesIO(data))
