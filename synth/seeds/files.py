"""The rows of a JSONL, CSV, TSV or parquet file of prompts, each with the place it stands at."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from pyarrow import types

from synth import storage
from synth.errors import BadInput
from synth.storage.paths import SCHEME

MAX_LINE_BYTES = 1 << 20  # of a line, of a row of CSV, and of one text

# Parquet is read so many rows, and so many bytes of the file, at a time.
PARQUET_ROWS, PARQUET_READ_BYTES = 64, 8 << 20
PARQUET_ROWS_BYTES = PARQUET_ROWS * 2 * MAX_LINE_BYTES
# What a file may unfold to: this, or so many times its size, whichever is more.
UNFOLDED_BYTES, UNFOLDED_TIMES = 1 << 30, 1_000


class FileRow(NamedTuple):
    """One row as the file holds it.

    Attributes:
        place: `line 7`, where the row begins, or `row 7` in parquet; both count from 1.
        cells: Column name to value; an empty CSV cell is None.
    """

    place: str
    cells: dict[str, Any]


def read_file_rows(path: str, columns: Collection[str]) -> Generator[FileRow, None, None]:
    """Yield the rows of a local file or a URI, in file order; who may stop early closes it.

    Args:
        path: Its suffix tells the format: `.jsonl`, `.csv`, `.tsv` or `.parquet`.
        columns: What the caller looks at; parquet reads no other columns.

    Raises:
        BadInput: The file can not be read, or a row breaks its format; names the place.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".jsonl", ".csv", ".tsv", ".parquet"):
        rule = "must end in .jsonl, .csv, .tsv or .parquet"
        raise BadInput(file=path, field="seeds.path", value=suffix, rule=rule)
    with _open(path) as stream:
        match suffix:
            case ".jsonl":
                yield from _jsonl_rows(path, stream)
            case ".csv":
                yield from _csv_rows(path, stream)
            case ".tsv":
                yield from _csv_rows(path, stream, delimiter="\t")
            case _:
                yield from _parquet_rows(path, stream, columns)


def size_bytes(path: str) -> int:
    """Return the size of a local file or a URI.

    Raises:
        BadInput: The file can not be read.
    """
    with _open(path) as stream:
        return stream.seek(0, io.SEEK_END)


def hash_file(path: str) -> str:
    """Return the SHA-256 of the bytes of a local file or a URI.

    Raises:
        BadInput: The file can not be read.
    """
    found = hashlib.sha256()
    with _open(path) as stream:
        while piece := stream.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _open(path: str) -> BinaryIO:
    try:
        if "://" not in path:
            return Path(path).open("rb")
        if path.startswith(SCHEME):
            return io.BufferedReader(cast(io.RawIOBase, storage.open_input(path)))
        filesystem, name = pa_fs.FileSystem.from_uri(path)
        # A NativeFile is a raw stream but for its declared type.
        native = cast(io.RawIOBase, filesystem.open_input_file(name))
        return io.BufferedReader(native)
    except BadInput:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        rule = "must be a readable file"
        raise BadInput(file=path, field="seeds.path", value=reason, rule=rule) from error


def _lines(path: str, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield `(number, text)`, each line with its end and bounded in memory."""
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            rule = f"must be at most {MAX_LINE_BYTES} bytes"
            value = f"over {MAX_LINE_BYTES} bytes"
            raise BadInput(file=path, field=f"line {number}", value=value, rule=rule)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            bad = raw[error.start : error.end]
            field = f"line {number}"
            raise BadInput(file=path, field=field, value=bad, rule="must be UTF-8") from error
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _jsonl_rows(path: str, stream: BinaryIO) -> Iterator[FileRow]:
    for number, text in _lines(path, stream):
        if not text.strip():
            continue
        place = f"line {number}"
        try:
            cells = json.loads(text)
        except (ValueError, RecursionError) as error:
            rule = f"must be JSON: {error}"
            raise BadInput(file=path, field=place, value=text.strip(), rule=rule) from error
        if not isinstance(cells, dict):
            raise BadInput(file=path, field=place, value=cells, rule="must be a JSON object")
        yield FileRow(place, cells)


def _csv_rows(path: str, stream: BinaryIO, delimiter: str = ",") -> Iterator[FileRow]:
    """Read CSV, or TSV; a first line that begins with `#` is a comment."""
    row_chars, begins_at = 0, 1

    def lines() -> Iterator[str]:
        nonlocal row_chars
        for number, text in _lines(path, stream):
            row_chars += len(text)
            if row_chars > MAX_LINE_BYTES:  # quoted line feeds let a row go on for ever
                field, value = f"line {begins_at}", f"over {MAX_LINE_BYTES} bytes"
                rule = f"must be at most {MAX_LINE_BYTES} bytes"
                raise BadInput(file=path, field=field, value=value, rule=rule)
            yield _without_comment(number, text)

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: Sequence[str] = []
    try:
        for cells in reader:
            place, begins_at, row_chars = f"line {begins_at}", reader.line_num + 1, 0
            if not cells:
                continue
            if not header:
                header = _distinct(path, place, cells)
            elif len(cells) != len(header):
                rule = f"must have {len(header)} cells, as the header has"
                raise BadInput(file=path, field=place, value=f"{len(cells)} cells", rule=rule)
            else:
                yield FileRow(place, {k: v or None for k, v in zip(header, cells, strict=True)})
    except csv.Error as error:
        field = f"line {begins_at}"
        rule = "must be well-formed CSV"
        raise BadInput(file=path, field=field, value=str(error), rule=rule) from error


def _without_comment(number: int, text: str) -> str:
    """Empty a comment on the first line, which keeps the CSV reader's count of lines true."""
    return "\n" if number == 1 and text.startswith("#") else text


def _parquet_rows(path: str, stream: BinaryIO, columns: Collection[str]) -> Iterator[FileRow]:
    """Read parquet, and count what it unfolds to: a few hundred bytes can stand for terabytes."""
    allowed = max(UNFOLDED_BYTES, UNFOLDED_TIMES * stream.seek(0, io.SEEK_END))
    file, wanted = _open_parquet(path, stream, columns)
    number, unfolded = 1, 0
    try:
        for batch in file.iter_batches(PARQUET_ROWS, columns=wanted):
            cells = dict(zip(batch.schema.names, map(_written_out, batch.columns), strict=True))
            size = sum(column.nbytes for column in cells.values())
            unfolded += size
            if size > PARQUET_ROWS_BYTES:
                field = f"rows {number} to {number + batch.num_rows - 1}"
                rule = f"must hold at most {PARQUET_ROWS_BYTES} bytes"
                raise BadInput(file=path, field=field, value=f"{size} bytes", rule=rule)
            if unfolded > allowed:
                rule = f"must not unfold to more than {UNFOLDED_TIMES} times the file's size"
                raise BadInput(file=path, field=f"row {number}", value=unfolded, rule=rule)
            for row in range(batch.num_rows):
                yield FileRow(
                    f"row {number}", {k: column[row].as_py() for k, column in cells.items()}
                )
                number += 1
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        bad = error.object[error.start : error.end]
        field = f"row {number}"
        raise BadInput(file=path, field=field, value=bad, rule="must be UTF-8") from error
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        rule = "must be readable parquet"
        raise BadInput(file=path, field=f"row {number}", value=str(error), rule=rule) from error


def _open_parquet(
    path: str, stream: BinaryIO, columns: Collection[str]
) -> tuple[pq.ParquetFile, list[str]]:
    """Return the file and those of `columns` it has, each of a type a prompt can have."""
    try:
        file = pq.ParquetFile(stream, buffer_size=PARQUET_READ_BYTES)
        schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        rule = "must be a parquet file"
        raise BadInput(file=path, field="schema", value=str(error), rule=rule) from error
    wanted = [name for name in _distinct(path, "schema", schema.names) if name in columns]
    for name in wanted:
        kind = schema.field(name).type
        if not _is_plain(kind):
            rule = "must be of text, numbers or truth values, or of lists of {role, content}"
            raise BadInput(file=path, field=f"column {name}", value=str(kind), rule=rule)
    return file, wanted


def _written_out(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def _is_plain(kind: pa.DataType) -> bool:
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return types.is_struct(kind.value_type)
    texts = types.is_string(kind) or types.is_large_string(kind)
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return texts or numbers or types.is_null(kind)


def _distinct(path: str, place: str, names: Sequence[str]) -> Sequence[str]:
    """Return column names, refusing any that stands twice."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        rule = "must name each column once"
        raise BadInput(file=path, field=place, value=twice[0], rule=rule)
    return names
