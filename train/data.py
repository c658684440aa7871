"""The rows and pairs of a curation's own shards, and which of them an arm is trained on.

Each shard is checked against the sha256 that the curation's manifest lists. Which rows an arm is
trained on is a pure function of their keys; every other row is counted with a reason.
"""

import hashlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.curate import PREFERENCE
from synth.curate.shards import Split
from synth.errors import BadInput
from synth.records import digest
from synth.workspace.stage import MANIFEST, read_manifest
from train.config import Match

ShardEntry = Mapping[str, Any]  # a shard as the manifest lists it


class LeftOut(StrEnum):
    """Why a curated row, or pair, is not trained on.

    Attributes:
        NOT_IN_EVERY_ARM: Under `match: seeds`, its seed has no row in another arm.
        SIBLING: Under `match: seeds`, another row of its seed and arm is taken.
        SURPLUS: Under `match: rows`, there are more than the arm with the fewest rows has.
        ANOTHER_ARM: It would be trained on, had another arm not had to leave one out.
        TOO_LONG: Longer than `finetune.max_length`.
        INVALID: The chat template refuses it, or a side of a pair is empty.
        UNALIGNED: Its prompt's tokens are not those that the model would be given when asked.
        NO_CONTRAST: Both sides of a pair are the same tokens.
    """

    NOT_IN_EVERY_ARM = "not_in_every_arm"
    SIBLING = "sibling"
    SURPLUS = "surplus"
    ANOTHER_ARM = "another_arm"
    TOO_LONG = "too_long"
    INVALID = "invalid"
    UNALIGNED = "unaligned"
    NO_CONTRAST = "no_contrast"


Reasons = Mapping[str, LeftOut]  # by `row_id`
NOTHING_UNFIT: Reasons = MappingProxyType({})


class Key(NamedTuple):
    """What identifies a row of a shard."""

    row_id: str
    seed_id: str
    arm: str
    label: str


def list_shards(curated: str) -> list[ShardEntry]:
    """Return the shards that the manifest of a curation lists.

    Raises:
        FileNotFoundError: Curation has not finished.
    """
    manifest = read_manifest(curated)
    if manifest is None:
        raise FileNotFoundError(f"{curated}: no manifest, curation has not finished")
    return manifest["shards"]


def supervised(curated: str, split: Split) -> list[ShardEntry]:
    """Return the shards of supervised rows of a split, of all arms together.

    Args:
        curated: Folder of the curation's manifest.
        split: Rows to train on, or rows kept out of training.

    Raises:
        BadInput: The manifest is one of an earlier version.
        FileNotFoundError: Curation has not finished.
    """
    found = [entry for entry in list_shards(curated) if entry["path"].startswith(f"sft/{split}-")]
    if uncounted := [entry["path"] for entry in found if "arms" not in entry]:
        path = storage.join(curated, MANIFEST)
        rule = "does not count the rows of arms: curate again"
        raise BadInput(file=path, field="shards", value=uncounted[0], rule=rule)
    return found


def count_rows(curated: str, split: Split) -> Counter[str]:
    """Return how many supervised rows of a split each arm has; no shard is opened for it.

    Raises:
        BadInput: The manifest is one of an earlier version.
        FileNotFoundError: Curation has not finished.
    """
    counts: Counter[str] = Counter()
    for entry in supervised(curated, split):
        counts.update(entry["arms"])
    return counts


def read_keys(curated: str, entry: ShardEntry) -> list[Key]:
    """Return the keys of the supervised rows in a shard.

    Raises:
        BadInput: The shard is not the file that the manifest lists.
    """
    table = read_columns(curated, entry, Key._fields)
    columns = {name: table[name].to_pylist() for name in Key._fields}
    # What many rows share is held once.
    shared = (map(sys.intern, columns[name]) for name in Key._fields[1:])
    return list(map(Key, columns["row_id"], *shared))


def seed_ids(curated: str) -> Iterator[str]:
    """Yield the seeds of all rows and pairs to train on, of every arm and training.

    Raises:
        BadInput: A shard is not the file that the manifest lists.
        FileNotFoundError: Curation has not finished.
    """
    for entry in list_shards(curated):
        if entry["path"].startswith("sft/train-") or entry.get("split") == "train":
            yield from read_columns(curated, entry, ["seed_id"])["seed_id"].to_pylist()


def read_columns(curated: str, entry: ShardEntry, columns: Iterable[str]) -> pa.Table:
    """Return some columns of a shard; the others are not read.

    Raises:
        BadInput: The shard is not the file that the manifest lists.
    """
    path = storage.join(curated, entry["path"])
    with storage.open_input(path) as source:
        if source.size() != entry["bytes"]:
            raise _changed(path, "bytes", entry["bytes"])
        try:
            return pq.ParquetFile(source).read(list(columns))
        except pa.ArrowInvalid as error:
            raise _changed(path, "sha256", entry["sha256"]) from error


def read_rows(
    curated: str, entry: ShardEntry, row_ids: Sequence[str], columns: Sequence[str]
) -> pa.Table:
    """Return columns of those rows of a shard that are wanted.

    Args:
        curated: Folder of the curation's manifest.
        entry: The shard.
        row_ids: Of the rows that are wanted; others may be among them.
        columns: The ones to read.

    Raises:
        BadInput: The shard is not the file that the manifest lists.
    """
    wanted = pc.field("row_id").isin(pa.array(row_ids, pa.string()))
    data = io.BytesIO(checked(curated, entry))
    return pq.read_table(data, columns=list(columns), filters=wanted)


def checked(curated: str, entry: ShardEntry) -> bytes:
    """Return the bytes of a shard, which are those that the manifest lists.

    They are hashed and then parsed, so that what was checked is what is trained on.

    Raises:
        BadInput: They are not.
    """
    path = storage.join(curated, entry["path"])
    data = storage.read(path)
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise _changed(path, "sha256", entry["sha256"])
    return data


def _changed(path: str, field: str, listed: object) -> BadInput:
    rule = f"the file's bytes are not those {MANIFEST} lists; curate again"
    return BadInput(file=path, field=field, value=listed, rule=rule)


def pair_shards(curated: str, arm: str, training: str, split: Split) -> list[ShardEntry]:
    """Return the shards of the pairs of an arm's training.

    Args:
        curated: Folder of the curation's manifest.
        arm: The arm.
        training: Name of the training, as in the arm's recipe.
        split: Pairs to train on, or pairs kept out of training.

    Raises:
        FileNotFoundError: Curation has not finished.
    """
    wanted = {"arm": arm, "training": training, "split": split}
    return [entry for entry in list_shards(curated) if wanted.items() <= entry.items()]


def read_pairs(curated: str, arm: str, training: str, split: Split) -> pa.Table:
    """Return the pairs of an arm's training, in the order of `row_id`.

    Args:
        curated: Folder of the curation's manifest.
        arm: The arm.
        training: Name of the training, as in the arm's recipe.
        split: Pairs to train on, or pairs kept out of training.

    Raises:
        BadInput: A shard is not the file that the manifest lists.
        FileNotFoundError: Curation has not finished.
    """
    entries = pair_shards(curated, arm, training, split)
    tables = [pq.read_table(io.BytesIO(checked(curated, entry))) for entry in entries]
    whole = [table.select(PREFERENCE.names).cast(PREFERENCE) for table in tables]
    return pa.concat_tables([PREFERENCE.empty_table(), *whole]).sort_by("row_id")


class Chosen(NamedTuple):
    """The rows of one arm, sorted out: each is trained on, or counted with a reason.

    Attributes:
        row_ids: Those to train on, sorted.
        left_out: How many others there are, by reason.
    """

    row_ids: list[str]
    left_out: dict[str, int]


def match_rows(
    keys: Iterable[Key], arms: Iterable[str], match: Match, unfit: Reasons = NOTHING_UNFIT
) -> dict[str, Chosen]:
    """Return which rows each arm is trained on.

    Under `seeds` all arms get the seeds for which every one has a row, and one row of each such
    seed, the one of the smallest `row_id`. Under `rows` they get as many rows as the arm with
    the fewest has, of each label as evenly as an arm's own rows allow. Rows that are unfit are
    taken out of what is chosen so, and what is left is matched again: no other row takes their
    place.

    Args:
        keys: Of all rows; those of other arms are passed over.
        arms: The arms.
        match: What makes arms comparable.
        unfit: Rows that can not be trained on, and why.
    """
    rows: dict[str, list[Key]] = {arm: [] for arm in arms}
    for key in keys:
        if key.arm in rows:
            rows[key.arm].append(key)
    why = dict(_unmatched(rows, match))
    if unfit:
        why = {**unfit, **why}
        left = {arm: [key for key in own if key.row_id not in why] for arm, own in rows.items()}
        why |= dict.fromkeys(_unmatched(left, match), LeftOut.ANOTHER_ARM)
    return {arm: _sorted_out(found, why) for arm, found in rows.items()}


def spread(keys: Iterable[Key], num_rows: int) -> list[str]:
    """Return `num_rows` ids, taken from the labels in turn, and within one by digest."""
    turns: dict[str, int] = {}
    ranked = []
    for key in sorted(keys, key=lambda key: digest("match", key.row_id)):
        turn = turns[key.label] = turns.get(key.label, -1) + 1
        ranked.append((turn, key.label, key.row_id))
    return sorted(row_id for _, _, row_id in sorted(ranked)[:num_rows])


def _unmatched(rows: Mapping[str, Sequence[Key]], match: Match) -> Reasons:
    """Return the rows that keep arms from being alike in what `match` names."""
    if match == "seeds":
        return _beside_common_seeds(rows)
    if match == "rows":
        fewest = min(map(len, rows.values()))
        return {
            row_id: LeftOut.SURPLUS
            for found in rows.values()
            for row_id in {key.row_id for key in found}.difference(spread(found, fewest))
        }
    return NOTHING_UNFIT


def _beside_common_seeds(rows: Mapping[str, Sequence[Key]]) -> Reasons:
    smallest = {arm: _smallest(found) for arm, found in rows.items()}
    common = set.intersection(*(set(by_seed) for by_seed in smallest.values()))
    return {
        key.row_id: LeftOut.SIBLING if key.seed_id in common else LeftOut.NOT_IN_EVERY_ARM
        for arm, found in rows.items()
        for key in found
        if key.seed_id not in common or key.row_id != smallest[arm][key.seed_id]
    }


def _smallest(keys: Iterable[Key]) -> dict[str, str]:
    """Return the smallest `row_id` of each seed."""
    by_seed: dict[str, str] = {}
    for key in keys:
        by_seed[key.seed_id] = min(key.row_id, by_seed.get(key.seed_id, key.row_id))
    return by_seed


def _sorted_out(keys: Sequence[Key], why: Reasons) -> Chosen:
    reasons = Counter(str(why[key.row_id]) for key in keys if key.row_id in why)
    taken = sorted(key.row_id for key in keys if key.row_id not in why)
    return Chosen(taken, dict(sorted(reasons.items())))
