"""What a training learns from: read, chosen and encoded."""

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from synth.curate.shards import Split
from synth.models.families import family_of
from train.encode import AnyExample, Encoded, Example, PairExample, encode_pairs, encode_rows
from train.job import Job
from train.match import Key, spread
from train.pairs import read_pairs
from train.shards import choose_rows, read_split


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
