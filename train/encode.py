"""What a training is handed, and its rows and pairs as token ids, in the order they are learnt in.

A row's sequence is exactly what sampling sees and writes: the prompt as the chat template
renders it, with control tokens inside a text encoded as plain text, then the completion, then
the token that ends the family's turn. That last token is inside the loss, or the student would
never learn to stop. A pair is two such completions of one prompt, which may itself end within
the assistant's turn; a side that does not end its turn gets no such token.
"""

import builtins
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from synth import storage
from synth.config.schema import FamilyConfig, StorageConfig
from synth.curate.shards import Split
from synth.errors import BadInput, Invalid
from synth.models.families import Family, family_of
from synth.models.rendering import encode_chat
from synth.records import Message
from train.config import FinetuneConfig, TrainKind
from train.data import (
    Chosen,
    Key,
    LeftOut,
    ShardEntry,
    count_rows,
    match_rows,
    read_keys,
    read_pairs,
    read_rows,
    spread,
    supervised,
)

IGNORED = -100  # the label of a token outside the loss, torch's own convention
POOL = 8  # batches that are sorted by length together: more pad less and mix less

_ENCODED = ("row_id", "seed_id", "prompt", "completion")
_AT_ONCE = 1024  # rows whose texts are plain Python data at a time
_TOKENIZERS = 8  # of arms, kept by a process

ShardRows = tuple[ShardEntry, Sequence[str]]  # a shard, and the rows of it that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One arm's training.

    Attributes:
        arm: The arm.
        arms: All arms, for the number of rows that they share.
        curated: Folder of the curation's manifest.
        base: Folder or hub name of the model to start from.
        revision: Commit of a hub model.
        family: Key of the model-family table, where it can not be told from the model.
        config: How it is trained.
        storage: How `s3://` is reached.
        kind: What is trained: `sft` and `dpo` train a student, `reward` a model that scores.
        chosen: Of each split, the rows of the arm that `sft` takes.
        training: Name of the training whose pairs `dpo` and `reward` take.
        special_tokens: Tokens that the student has or gets beside its base's own.
    """

    arm: str
    arms: tuple[str, ...]
    curated: str
    base: str
    revision: str | None
    family: str | FamilyConfig | None
    config: FinetuneConfig
    storage: StorageConfig = field(default_factory=StorageConfig)
    kind: TrainKind = "sft"
    chosen: Mapping[Split, Chosen] = field(default_factory=dict)
    training: str = ""
    special_tokens: tuple[str, ...] = ()


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
        left_out: Why other rows could not be encoded, by `row_id`.
    """

    examples: list[AnyExample]
    left_out: dict[str, LeftOut]


def encode_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded[Example]:
    """Encode rows of `row_id`, `seed_id`, `prompt` and `completion`.

    A row is left out as `TOO_LONG`, `INVALID` or `UNALIGNED`.
    """
    end = end_of_turn(tokenizer, family)
    return _collect(rows, lambda row: _encode_row(row, tokenizer, end, max_length))


def unfit_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> dict[str, LeftOut]:
    """Return the rows that `encode_rows` leaves out, and why, without keeping any of the others."""
    found: dict[str, LeftOut] = {}
    for row in rows:
        found |= encode_rows([row], tokenizer, family, max_length).left_out
    return found


def encode_pairs(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded[PairExample]:
    """Encode pairs: rows of the schema `PREFERENCE`.

    A pair is left out as a row is, whole, if either side would have to be, and as `NO_CONTRAST`
    where both sides are the same tokens.
    """
    end = end_of_turn(tokenizer, family)
    return _collect(rows, lambda row: _encode_pair(row, tokenizer, end, max_length))


def end_of_turn(tokenizer: Any, family: Family) -> int:
    """Return the id of the token that ends an assistant's turn."""
    token = family.end_of_turn or tokenizer.eos_token
    return tokenizer.convert_tokens_to_ids(token)


class _Unfit(Exception):
    """A row can not be encoded."""

    def __init__(self, why: LeftOut) -> None:
        super().__init__(why)
        self.why = why


def _collect(
    rows: Iterable[Mapping[str, Any]], encode: Callable[[Mapping[str, Any]], AnyExample]
) -> Encoded[AnyExample]:
    examples: list[AnyExample] = []
    left_out: dict[str, LeftOut] = {}
    for row in rows:
        try:
            examples.append(encode(row))
        except _Unfit as fault:
            left_out[row["row_id"]] = fault.why
    return Encoded(examples, left_out)


def _encode_row(row: Mapping[str, Any], tokenizer: Any, end: int, max_length: int) -> Example:
    prompt, completion = _split(row["prompt"], row["completion"], tokenizer)
    ids = [*prompt, *completion, end]
    if len(ids) > max_length:
        raise _Unfit(LeftOut.TOO_LONG)
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
        raise _Unfit(LeftOut.NO_CONTRAST)
    if not (chosen and rejected):
        raise _Unfit(LeftOut.INVALID)
    if len(prompt) + max(map(len, sides)) > max_length:
        raise _Unfit(LeftOut.TOO_LONG)
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
        raise _Unfit(LeftOut.INVALID) from error
    if whole[: len(ids)] != ids:
        raise _Unfit(LeftOut.UNALIGNED)
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


Unfit = dict[str, LeftOut]
Map = Callable[[Callable[[ShardRows], Unfit], Iterable[ShardRows]], Iterable[Unfit]]


class Loaded(NamedTuple, Generic[AnyExample]):
    """Encoded rows or pairs, and how many others there are, by why they are left out."""

    examples: list[AnyExample]
    left_out: dict[str, int]


def choose_rows(
    jobs: Mapping[str, TrainingJob], split: Split, map: Map = builtins.map
) -> dict[str, Chosen]:
    """Return which rows of a split each arm is trained on.

    Where arms are matched, they still match once they are encoded: the others give up as much as
    one of them has to leave out. Each arm's rows are encoded with its own tokens.

    Args:
        jobs: The supervised training of every arm, by arm.
        split: Rows to train on, or rows kept out of training.
        map: Maps a picklable function over shards.

    Raises:
        BadInput: An arm has no row to train on, or a shard is not what the manifest lists.
        FileNotFoundError: Curation has not finished.
    """
    [curated] = {job.curated for job in jobs.values()}
    [match] = {job.config.match for job in jobs.values()}
    shards = [(entry, read_keys(curated, entry)) for entry in supervised(curated, split)]
    keys = [key for _, found in shards for key in found]
    chosen = match_rows(keys, jobs, match)
    if split == "train":
        _check_rows(curated, chosen, match == "seeds")
    if match is None or len(jobs) == 1:
        return chosen
    wanted = {row_id for one in chosen.values() for row_id in one.row_ids}
    asked = [(entry, [key.row_id for key in own if key.row_id in wanted]) for entry, own in shards]
    unfit: Unfit = {}
    for found in map(partial(_unfit_in, jobs), asked):
        unfit |= found
    return match_rows(keys, jobs, match, unfit)


def load_rows(job: TrainingJob, tokenizer: Any, split: Split) -> Loaded[Example]:
    """Read and encode the rows of a split that are chosen for an arm, in the order of `row_id`.

    Raises:
        BadInput: A shard is not the file that the manifest lists.
    """
    family, chosen = family_of(job.base, job.family), job.chosen[split]
    examples: list[Example] = []
    left_out = Counter(chosen.left_out)
    for entry in supervised(job.curated, split):
        if job.arm in entry["arms"]:
            table = read_rows(job.curated, entry, chosen.row_ids, _ENCODED)
            encoded = encode_rows(_plain(table), tokenizer, family, job.config.max_length)
            examples += encoded.examples
            left_out.update(encoded.left_out.values())
    return Loaded(sorted(examples, key=lambda one: one.row_id), _counts(left_out))


def load_pairs(job: TrainingJob, tokenizer: Any, split: Split) -> Loaded[PairExample]:
    """Read and encode the pairs of an arm's training.

    For a reward model no side ends its turn: it is asked for the score of a text as it stands.
    Where arms are matched by `rows`, no training has more pairs than the arms have rows.
    """
    family = family_of(job.base, job.family)
    table = read_pairs(job.curated, job.arm, job.training, split)
    left_out: Counter[str] = Counter()
    if job.config.match == "rows":
        every, table = len(table), _as_many_as_rows(job, table, split)
        left_out[LeftOut.SURPLUS] = every - len(table)
    pairs = table.to_pylist()
    if job.kind == "reward":
        pairs = [pair | {"chosen_ends": False, "rejected_ends": False} for pair in pairs]
    encoded = encode_pairs(pairs, tokenizer, family, job.config.max_length)
    left_out.update(encoded.left_out.values())
    return Loaded(encoded.examples, _counts(left_out))


def _check_rows(curated: str, chosen: Mapping[str, Chosen], by_seeds: bool) -> None:
    """Refuse data that leave an arm without rows, before anything starts."""
    empty = [arm for arm, one in chosen.items() if not one.row_ids]
    if not empty:
        return
    counts = {arm: len(one.row_ids) + sum(one.left_out.values()) for arm, one in chosen.items()}
    if by_seeds and all(counts.values()):
        rule = "no seed was accepted in every arm; generate more samples, or match: rows or null"
    else:
        rule = f"no training row for arm {', '.join(arm for arm in empty if not counts[arm])}"
    raise BadInput(file=curated, field="finetune.arms", value=counts, rule=rule)


def _unfit_in(jobs: Mapping[str, TrainingJob], asked: ShardRows) -> Unfit:
    """Return which of some rows of a shard can not be encoded, with the tokens of their arms."""
    (entry, row_ids), unfit = asked, Unfit()
    [curated] = {job.curated for job in jobs.values()}
    table = read_rows(curated, entry, row_ids, (*_ENCODED, "arm"))
    for arm, job in jobs.items():
        base = storage.local_copy(job.base)
        unfit |= unfit_rows(
            _plain(table.filter(pc.field("arm") == arm)),
            _tokenizer(base, job.revision, job.special_tokens),
            family_of(base, job.family),
            job.config.max_length,
        )
    return unfit


@lru_cache(maxsize=_TOKENIZERS)
def _tokenizer(base: str, revision: str | None, special_tokens: tuple[str, ...]) -> Any:
    """Return the tokenizer of a student; a process looks through many shards with it."""
    from train.tokens import load_vocabulary  # noqa: PLC0415 (heavy: torch)

    return load_vocabulary(base, revision, special_tokens).tokenizer


def _as_many_as_rows(job: TrainingJob, pairs: pa.Table, split: Split) -> pa.Table:
    counts = count_rows(job.curated, split)
    keys = map(Key, *(pairs[name].to_pylist() for name in Key._fields))
    kept = spread(keys, min(counts[arm] for arm in job.arms))
    return pairs.filter(pc.field("row_id").isin(pa.array(kept, pa.string())))


def _plain(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows as plain data, so that few of them are at once."""
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        yield from batch.to_pylist()


def _counts(left_out: Counter[str]) -> dict[str, int]:
    return {str(why): rows for why, rows in sorted(left_out.items()) if rows}
