"""What a training learns from: the manifest's own shards, matched, encoded and put in order.

Each shard is checked against the sha256 that the curation's manifest lists. Which rows an arm is
trained on is a pure function of their keys.

A row's sequence is exactly what sampling sees and writes: the prompt as the chat template
renders it, with control tokens inside a text encoded as plain text, then the completion, then
the token that ends the family's turn. That last token is inside the loss, or the student would
never learn to stop. A pair is two such completions of one prompt, which may itself end within
the assistant's turn; a side that does not end its turn gets no such token.
"""

import hashlib
import io
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.curate import PREFERENCE, SFT
from synth.curate.shards import Split
from synth.errors import BadInput, Invalid
from synth.models.families import Family, family_of
from synth.models.rendering import encode_chat
from synth.records import Message, digest
from synth.workspace.stage import MANIFEST, read_manifest
from train.config import Job, Match

IGNORED = -100  # the label of a token outside the loss, torch's own convention

POOL = 8  # batches that are sorted by length together: more pad less and mix less


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
    wanted = {"arm": arm, "training": training, "split": split}
    entries = (s for s in listed(curated) if wanted.items() <= s.items())
    return read_shards(curated, entries, PREFERENCE).sort_by("row_id")


def paired_seed_ids(curated: str) -> list[str]:
    """Return the seeds of all pairs to train on, of every arm and training."""
    entries = (s for s in listed(curated) if s.get("training") and s["split"] == "train")
    return read_shards(curated, entries, PREFERENCE)["seed_id"].to_pylist()


class Key(NamedTuple):
    """What identifies a row of a shard."""

    row_id: str
    seed_id: str
    arm: str
    label: str


def choose(keys: Iterable[Key], arms: Sequence[str], match: Match) -> dict[str, list[str]]:
    """Return each arm's `row_id`s, sorted.

    Under `seeds` all arms get the seeds for which every one has a row, and one row of each such
    seed, the one of the smallest `row_id`. Under `rows` they get as many rows as the arm with
    the fewest has, of each label as evenly as an arm's own rows allow.
    """
    rows: dict[str, list[Key]] = {arm: [] for arm in arms}
    for key in keys:
        if key.arm in rows:
            rows[key.arm].append(key)
    if match == "seeds":
        return _common_seeds(rows)
    if match == "rows":
        fewest = min(map(len, rows.values()))
        return {arm: spread(found, fewest) for arm, found in rows.items()}
    return {arm: sorted(key.row_id for key in found) for arm, found in rows.items()}


def _common_seeds(rows: dict[str, list[Key]]) -> dict[str, list[str]]:
    smallest = {arm: _smallest(found) for arm, found in rows.items()}
    common = set.intersection(*(set(by_seed) for by_seed in smallest.values()))
    return {arm: sorted(by_seed[seed] for seed in common) for arm, by_seed in smallest.items()}


def _smallest(keys: Iterable[Key]) -> dict[str, str]:
    """Return the smallest `row_id` of each seed."""
    by_seed: dict[str, str] = {}
    for key in keys:
        by_seed[key.seed_id] = min(key.row_id, by_seed.get(key.seed_id, key.row_id))
    return by_seed


def spread(keys: Iterable[Key], num_rows: int) -> list[str]:
    """Return `num_rows` ids, taken from the labels in turn, and within one by digest."""
    turns: dict[str, int] = {}
    ranked = []
    for key in sorted(keys, key=lambda key: digest("match", key.row_id)):
        turn = turns[key.label] = turns.get(key.label, -1) + 1
        ranked.append((turn, key.label, key.row_id))
    return sorted(row_id for _, _, row_id in sorted(ranked)[:num_rows])


class Example(NamedTuple):
    """One encoded row.

    Attributes:
        row_id: The row it was made from.
        seed_id: The row's seed.
        input_ids: The whole sequence.
        labels: The same ids where the loss counts, `IGNORED` elsewhere.
    """

    row_id: str
    seed_id: str
    input_ids: list[int]
    labels: list[int]


class PairExample(NamedTuple):
    """One encoded pair.

    Attributes:
        row_id: The pair it was made from.
        seed_id: The seed of both sides.
        prompt_ids: What both go on from.
        chosen_ids: The preferred continuation.
        rejected_ids: The other one.
    """

    row_id: str
    seed_id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


AnyExample = TypeVar("AnyExample", Example, PairExample)


class Encoded(NamedTuple, Generic[AnyExample]):
    """Encoded rows, and what could not be.

    Attributes:
        examples: In the rows' order.
        left_out: How many rows were left out, by reason.
        seeds_left_out: The seeds of those rows.
    """

    examples: list[AnyExample]
    left_out: dict[str, int]
    seeds_left_out: set[str]


def encode_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded[Example]:
    """Encode rows of `row_id`, `seed_id`, `prompt` and `completion`.

    A row is left out as `too_long`, as `invalid` (the template refuses it), or as `unaligned`
    (its prompt's tokens are not those that the model would be given when it is asked).
    """
    end = end_of_turn(tokenizer, family)
    return _collect(rows, lambda row: _encode_row(row, tokenizer, end, max_length))


def encode_pairs(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded[PairExample]:
    """Encode pairs: rows of the schema `PREFERENCE`.

    A pair is left out as a row is, whole, if either side would have to be, and as `no_contrast`
    where both sides are the same tokens.
    """
    end = end_of_turn(tokenizer, family)
    return _collect(rows, lambda row: _encode_pair(row, tokenizer, end, max_length))


def end_of_turn(tokenizer: Any, family: Family) -> int:
    """Return the id of the token that ends an assistant's turn."""
    token = family.end_of_turn or tokenizer.eos_token
    return tokenizer.convert_tokens_to_ids(token)


class _LeftOut(Exception):
    """A row can not be encoded; its text is the reason."""


def _collect(
    rows: Iterable[Mapping[str, Any]], encode: Callable[[Mapping[str, Any]], AnyExample]
) -> Encoded[AnyExample]:
    examples: list[AnyExample] = []
    left_out: Counter[str] = Counter()
    seeds: set[str] = set()
    for row in rows:
        try:
            examples.append(encode(row))
        except _LeftOut as reason:
            left_out[str(reason)] += 1
            seeds.add(row["seed_id"])
    return Encoded(examples, dict(left_out), seeds)


def _encode_row(row: Mapping[str, Any], tokenizer: Any, end: int, max_length: int) -> Example:
    prompt, completion = _split(row["prompt"], row["completion"], tokenizer)
    ids = [*prompt, *completion, end]
    if len(ids) > max_length:
        raise _LeftOut("too_long")
    labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
    return Example(row["row_id"], row["seed_id"], ids, labels)


def _encode_pair(row: Mapping[str, Any], tokenizer: Any, end: int, max_length: int) -> PairExample:
    prompt: list[int] = []
    sides: list[list[int]] = []
    for side in ("chosen", "rejected"):
        prompt, ids = _split(row["prompt"], row[side], tokenizer)
        sides.append([*ids, end] if row[f"{side}_ends"] else ids)
    chosen, rejected = sides
    if chosen == rejected:
        raise _LeftOut("no_contrast")
    if not (chosen and rejected):
        raise _LeftOut("invalid")
    if len(prompt) + max(map(len, sides)) > max_length:
        raise _LeftOut("too_long")
    return PairExample(row["row_id"], row["seed_id"], prompt, chosen, rejected)


def _split(
    prompt: Sequence[Message], completion: Sequence[Message], tokenizer: Any
) -> tuple[list[int], list[int]]:
    """Return the ids of a prompt, and those that a completion adds to them."""
    begun = prompt[-1]["role"] == "assistant"
    turns = [*prompt, *completion]
    if begun:
        text = "".join(turn["content"] for turn in turns[len(prompt) - 1 :])
        turns = [*prompt[:-1], Message(role="assistant", content=text)]
    try:
        ids = encode_chat(tokenizer, prompt, continue_final=begun)
        whole = encode_chat(tokenizer, turns, continue_final=True)
    except Invalid as error:
        raise _LeftOut("invalid") from error
    if whole[: len(ids)] != ids:
        raise _LeftOut("unaligned")
    return ids, whole[len(ids) :]


def order_rows(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Return the rows' indices, batch after batch; an incomplete batch is the last.

    A function of its arguments alone, so that a training resumed within an epoch takes each
    remaining row once. Batches are shuffled: the common grouping by length goes from the
    longest rows to the shortest, and length tells much about a row.
    """
    draw = random.Random(f"{seed}/{epoch}")
    rows = draw.sample(range(len(lengths)), len(lengths))
    whole = len(rows) - len(rows) % batch_size
    rows, rest = rows[:whole], rows[whole:]
    batches: list[list[int]] = []
    for start in range(0, whole, POOL * batch_size):
        pool = sorted(rows[start : start + POOL * batch_size], key=lambda row: lengths[row])
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    draw.shuffle(batches)
    return [row for batch in [*batches, rest] for row in batch]


class Loaded(NamedTuple, Generic[AnyExample]):
    """Encoded rows or pairs, and how many were left out, by reason."""

    examples: list[AnyExample]
    left_out: dict[str, int]


def load_rows(job: Job, tokenizer: Any, split: Split) -> Loaded[Example]:
    """Read, choose and encode an arm's rows.

    Where arms are matched, they still match after encoding: a seed that any arm has to leave
    out is left out of all, and a number of rows that any arm does not reach is that of all.
    """
    family = family_of(job.base, job.family)
    match, max_length = job.config.match, job.config.max_length
    chosen = choose_rows(read_split(job.curated, split), job.arms, match)
    encoded = {
        arm: encode_rows(rows.to_pylist(), tokenizer, family, max_length)
        for arm, rows in chosen.items()
        if match or arm == job.arm
    }
    own = encoded[job.arm]
    examples = own.examples
    if match == "seeds":
        lost = set().union(*(found.seeds_left_out for found in encoded.values()))
        examples = [example for example in examples if example.seed_id not in lost]
    if match == "rows":
        kept = _equally_many(job, chosen, encoded)
        examples = [example for example in examples if example.row_id in kept]
    left_out = dict(own.left_out)
    if len(examples) < len(own.examples):
        left_out["another_arm"] = len(own.examples) - len(examples)
    return Loaded(examples, left_out)


def load_pairs(job: Job, tokenizer: Any, split: Split) -> Loaded[PairExample]:
    """Read and encode the pairs of an arm's training.

    For a reward model no side ends its turn: it is asked for the score of a text as it stands.
    Where arms are matched by `rows`, no training has more pairs than the arms have rows.
    """
    family = family_of(job.base, job.family)
    table = read_pairs(job.curated, job.arm, job.training, split)
    if job.config.match == "rows":
        table = _as_many_as_rows(job, table, split)
    pairs = table.to_pylist()
    if job.kind == "reward":
        pairs = [pair | {"chosen_ends": False, "rejected_ends": False} for pair in pairs]
    encoded = encode_pairs(pairs, tokenizer, family, job.config.max_length)
    return Loaded(encoded.examples, encoded.left_out)


def _as_many_as_rows(job: Job, pairs: pa.Table, split: Split) -> pa.Table:
    rows = choose_rows(read_split(job.curated, split), job.arms, "rows")[job.arm]
    keys = map(Key, *(pairs[name].to_pylist() for name in Key._fields))
    return pairs.filter(pc.field("row_id").isin(pa.array(spread(keys, len(rows)), pa.string())))


def _equally_many(
    job: Job, chosen: Mapping[str, pa.Table], encoded: Mapping[str, Encoded[Example]]
) -> set[str]:
    """Return the ids of the arm's rows that are left when each arm's encoded rows match again."""
    tables = []
    for arm, rows in chosen.items():
        found = pa.array([example.row_id for example in encoded[arm].examples], pa.string())
        tables.append(rows.filter(pc.field("row_id").isin(found)))
    return set(
        choose_rows(pa.concat_tables(tables), job.arms, "rows")[job.arm]["row_id"].to_pylist()
    )
