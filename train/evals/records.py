"""The record of the evaluation: one row a prompt and answer, with what every judge says of it.

A record is written whole and read by columns. Rates and comparisons count: they take what is
`Scored`, a record without its texts, of all models at once. Only one model's records are ever
in memory with their texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.records import Outcome

RULES = "refusal_rules"  # the judge that is always there

RulesVerdict = Literal["refusal", "partial", "compliance", "off_topic", "undetermined"]
Decoding = Literal["sampled", "greedy"]
Scope = Literal["answer", "reasoning", "both"]

_AT_ONCE = 8192  # records that are plain data at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a model judge says of one answer.

    Attributes:
        judge: Its name.
        scope: Which part of the text it looked at.
        verdict: One of its classes, or `undetermined`.
        reason: Why it is undetermined; empty otherwise.
        value: Its grade, where it gives one.
        categories: Hazard categories, as it calls them.
    """

    judge: str
    scope: Scope
    verdict: str
    reason: str = ""
    value: float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Said):
    """What a model judge says of one answer, with its own words.

    Attributes:
        raw: Those.
    """

    raw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What is counted of one answer of one model.

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
        decoding: `sampled`, or `greedy` for the one answer without chance.
        outcome: How the generation ended.
        verdict: The refusal rules', on the answer; what has nothing to do with its prompt is
            `off_topic` here, neither help nor a refusal.
        reason: Id of the rule, or why there is no verdict.
        degenerate: The answer is empty or garbled.
        truncated: The token limit cut the generation.
        has_reasoning: There is a reasoning part.
        closed: It has its end mark; True where nothing was opened.
        one_answer: Exactly one answer follows.
        valid: The answer, decoded where it is encoded, reads as language.
        reasoning_words: Length of the reasoning.
        output_tokens: Tokens generated; None where nobody counted.
        finish_reason: `stop` or `length`; empty where nothing was generated.
        judged: What the model judges say of it.
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
    decoding: Decoding
    outcome: str
    verdict: RulesVerdict
    reason: str
    degenerate: bool
    truncated: bool
    has_reasoning: bool
    closed: bool
    one_answer: bool
    valid: bool
    reasoning_words: int
    output_tokens: int | None
    finish_reason: str
    judged: tuple[Said, ...] = ()

    @property
    def generated(self) -> bool:
        """Whether there is a text at all: it was not refused, lost or interrupted on the way."""
        return self.outcome in (Outcome.OK, Outcome.TRUNCATED)

    def says(self, judge: str, scope: Scope = "answer") -> Said | None:
        """Return what `judge` says of `scope`; None where it was not asked."""
        return next((j for j in self.judged if (j.judge, j.scope) == (judge, scope)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Scored):
    """One answer of one model, with its texts.

    Attributes:
        untransformed: The prompt before any attack: what judges are shown.
        prompt: What was sent.
        reasoning: The reasoning part.
        answer: The answer part, as written.
        readable: The answer part in plain language; equal to `answer` where nothing is encoded.
        judged: What the model judges say of it, in their own words too.
    """

    untransformed: str
    prompt: str
    reasoning: str
    answer: str
    readable: str
    judged: tuple[Judged, ...] = ()


AnyRecord = TypeVar("AnyRecord", bound=Scored)

_ARROW: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    int | None: pa.int64(),
    float | None: pa.float64(),
    tuple[str, ...]: pa.list_(pa.string()),
}


def _schema(of: type) -> list[tuple[str, pa.DataType]]:
    return [(f.name, _ARROW.get(f.type, pa.string())) for f in fields(of)]


_ARROW[tuple[Judged, ...]] = pa.list_(pa.struct(_schema(Judged)))
# What judges say stands last, where it has always stood.
RECORDS = pa.schema(sorted(_schema(Record), key=lambda field: field[0] == "judged"))
_SCORED = (
    *(field.name for field in fields(Scored) if field.name != "judged"),
    *(f"judged.list.element.{field.name}" for field in fields(Said)),
)


def write_records(path: str, records: Sequence[Record]) -> None:
    """Publish `records` as parquet."""
    table = pa.Table.from_pylist([asdict(record) for record in records], schema=RECORDS)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    storage.publish(path, sink.getvalue().to_pybytes())


def read_records(path: str, only: pc.Expression | None = None) -> list[Record]:
    """Return records with their texts.

    Args:
        path: Where `write_records` has put them.
        only: Of which records, told by their columns; all where None.
    """
    return [_record(row) for row in _rows(path, None, only)]


def read_scored(path: str, only: pc.Expression | None = None) -> list[Scored]:
    """Return records without their texts, which are not read.

    Args:
        path: Where `write_records` has put them.
        only: Of which records, told by their columns; all where None.
    """
    shared: dict[str, str] = {}  # what many records have in common is held once
    return [_scored(row, shared) for row in _rows(path, _SCORED, only)]


def _rows(
    path: str, columns: Sequence[str] | None, only: pc.Expression | None
) -> Iterator[dict[str, Any]]:
    """Yield rows as plain data, of which some are read at a time."""
    with storage.open_input(path) as source:
        for batch in pq.ParquetFile(source).iter_batches(_AT_ONCE, columns=columns):
            table = pa.Table.from_batches([batch])
            yield from (table if only is None else table.filter(only)).to_pylist()


def _record(row: dict[str, Any]) -> Record:
    judged = (Judged(**_listed(one)) for one in row["judged"])
    return Record(**row | {"judged": tuple(judged)})


def _scored(row: dict[str, Any], shared: dict[str, str]) -> Scored:
    def once(value: Any) -> Any:
        return shared.setdefault(value, value) if isinstance(value, str) else value

    judged = (Said(**{name: once(v) for name, v in _listed(one).items()}) for one in row["judged"])
    return Scored(**{name: once(v) for name, v in row.items()} | {"judged": tuple(judged)})


def _listed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "categories": tuple(row["categories"])}
