"""The record of the evaluation: one row a prompt and sample, with what the rules say of it."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from synth import storage

Verdict = Literal["refusal", "partial", "compliance", "undetermined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One answer of one model.

    Attributes:
        row_id: Of the trace it was scored from.
        item_id: Equal for all models: comparisons are paired on it.
        origin: Id of the seed before any transform.
        cluster: What resampling draws: the pair a seed and its twin share, or `origin`.
        suite: Where the prompt came from.
        transform: The attack's name, or `plain`.
        family: The attack's family, or `plain`.
        version: The attack's version.
        label: What the prompt is: harmful, benign or borderline.
        category: What it is about.
        sample: Which of the repeated answers this is.
        outcome: How the generation ended.
        verdict: The rule judge's, on the answer.
        reason: Id of the rule, or why there is no verdict.
        degenerate: The answer is empty or garbled.
        truncated: The token limit cut the generation.
        has_reasoning: There is a reasoning part.
        closed: It has its end mark; True where nothing was opened.
        one_answer: Exactly one answer follows.
        valid: The answer, decoded where it is encoded, reads as language.
        reasoning_words: Length of the reasoning.
        output_tokens: Tokens generated.
        prompt: What was sent.
        reasoning: The reasoning part.
        answer: The answer part, as written.
    """

    row_id: str
    item_id: str
    origin: str
    cluster: str
    suite: str
    transform: str
    family: str
    version: int
    label: str
    category: str
    sample: int
    outcome: str
    verdict: Verdict
    reason: str
    degenerate: bool
    truncated: bool
    has_reasoning: bool
    closed: bool
    one_answer: bool
    valid: bool
    reasoning_words: int
    output_tokens: int
    prompt: str
    reasoning: str
    answer: str


_ARROW: dict[Any, pa.DataType] = {bool: pa.bool_(), int: pa.int64()}
RECORDS = pa.schema([(f.name, _ARROW.get(f.type, pa.string())) for f in fields(Record)])


def write_records(path: str, records: list[Record]) -> None:
    """Publish `records` as parquet."""
    table = pa.Table.from_pylist([asdict(record) for record in records], schema=RECORDS)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    storage.publish(path, sink.getvalue().to_pybytes())


def read_records(path: str) -> list[Record]:
    """Invert `write_records`."""
    table = pq.read_table(pa.BufferReader(storage.read(path)))
    return [Record(**row) for row in table.to_pylist()]
