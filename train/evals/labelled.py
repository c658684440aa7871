"""Answers that people have labelled: the rows of a file, each with the class its label means."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow.parquet as pq

from synth import storage
from synth.errors import BadInput
from synth.judges.base import Exchange
from synth.seeds.files import Row, read_rows, sha256

MANY_LABELS = 8  # of those that no mapping covers: as many are named
LABEL_CHARS = 24  # a longer value is no label, and its text is not repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsFile:
    """Where the labelled answers stand.

    Attributes:
        path: A CSV, JSONL or parquet file, or its URI.
        text: Column of the judged text.
        label: Column of the label.
        prompt: Column of the request; None where the judge sees none.
        rival: Column of a second answer, for judges that compare.
        classes: Label to class, for labels that are no class by themselves.
    """

    path: str
    text: str
    label: str
    prompt: str | None
    rival: str | None
    classes: Mapping[str, str]

    @property
    def columns(self) -> dict[str, str | None]:
        """The file's columns by what they are to us."""
        found = {"text": self.text, "label": self.label}
        return found | {"prompt": self.prompt, "rival": self.rival}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One answer and the class people put it into."""

    exchange: Exchange
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """One row: the exchange, and the label as it is written."""

    exchange: Exchange
    value: str


def read_labelled(source: LabelsFile, classes: Sequence[str]) -> list[Labelled]:
    """Return the labelled answers in file order, those without text among them.

    Raises:
        BadInput: The file can not be read, a column is not there, a cell is of another type,
            or labels mean none of `classes`: all of these are listed, with their counts.
    """
    with _naming_the_option():
        told = list(_rows(source))
    if not told:
        raise BadInput(file=source.path, field="rows", value=0, rule="must hold labelled rows")
    meaning = {**{name: name for name in classes}, **source.classes}
    if unknown := Counter(one.value for one in told if one.value not in meaning):
        raise _unmapped(source, unknown, classes)
    return [Labelled(exchange=one.exchange, label=meaning[one.value]) for one in told]


def digest_of(path: str) -> str:
    """Return the SHA-256 of a labels file.

    Raises:
        BadInput: It can not be read.
    """
    with _naming_the_option():
        return sha256(path)


def _rows(source: LabelsFile) -> Iterator[_Told]:
    wanted = [name for name in source.columns.values() if name is not None]
    seen: dict[str, None] | None = None  # columns, in their order; None before the first row
    for row in read_rows(source.path, wanted):
        seen = (seen or {}) | dict.fromkeys(row.cells)
        yield _told(source, row)
    missing = [name for name in wanted if seen is not None and name not in seen]
    if missing:
        raise _no_column(source, missing[0], list(seen or ()))


def _told(source: LabelsFile, row: Row) -> _Told:
    prompt, text, rival = (
        _text(source, row, name) for name in (source.prompt, source.text, source.rival)
    )
    value = _label(source, row)
    return _Told(exchange=Exchange(prompt=prompt, text=text, rival=rival), value=value)


def _text(source: LabelsFile, row: Row, column: str | None) -> str:
    """Return a cell; one that is not there is blank, and the judge says what that means."""
    value = None if column is None else row.cells.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _cell(source, row, column, type(value).__name__, "must be text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _cell(source, row, column, value[error.start], "must be valid Unicode") from error
    return value


def _label(source: LabelsFile, row: Row) -> str:
    """Return a label as one would write it after `--map`: 1, true and 1.0 are plain words."""
    value = row.cells.get(source.label)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise _cell(source, row, source.label, type(value).__name__, "must be text or a number")


def _cell(source: LabelsFile, row: Row, column: object, value: str, rule: str) -> BadInput:
    return BadInput(file=source.path, field=f"{row.place}: {column}", value=value, rule=rule)


def _no_column(source: LabelsFile, column: str, seen: Sequence[str]) -> BadInput:
    """Return the error of a column that is in no row, naming those there are."""
    option = next(ours for ours, name in source.columns.items() if name == column)
    if source.path.lower().endswith(".parquet"):  # of which only the wanted ones were read
        remote = storage.is_remote(source.path)
        seen = pq.read_schema(storage.open_input(source.path) if remote else source.path).names
    rule = f"must be a column of the file, which has {', '.join(seen)}"
    return BadInput(file=source.path, field=f"--{option}", value=column, rule=rule)


def _unmapped(source: LabelsFile, unknown: Counter[str], classes: Sequence[str]) -> BadInput:
    order = sorted(unknown, key=lambda value: (-unknown[value], value))
    named = [f"{_shown(value)} ({unknown[value]})" for value in order[:MANY_LABELS]]
    if len(order) > MANY_LABELS:
        named.append(f"and {len(order) - MANY_LABELS} more values")
    rule = (
        f"{'is' if len(order) == 1 else 'are'} covered by no --map VALUE=CLASS, and no class of "
        f"the judge: {', '.join(classes)}"
    )
    value = f"{sum(unknown.values())} rows"
    field = f"column {source.label}"
    return BadInput(file=source.path, field=field, value=value, rule=f"{', '.join(named)} {rule}")


def _shown(value: str) -> str:
    if not value:
        return "(empty)"
    return repr(value) if len(value) <= LABEL_CHARS else f"<{len(value)} characters>"


@contextmanager
def _naming_the_option() -> Iterator[None]:
    """Say that it is the labels file, where the reader of seeds speaks of seeds."""
    try:
        yield
    except BadInput as error:
        if error.field != "seeds.path":
            raise
        told = {"file": error.file, "value": error.value, "rule": error.rule}
        raise BadInput(field="--labels", **told) from error
