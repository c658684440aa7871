"""The rows of a JSONL, CSV, TSV or parquet file of prompts, each with the place it stands at."""

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa
import pyarrow.fs as pa_fs

from synth import storage
from synth.errors import BadInput
from synth.seeds.parquet import parquet_rows
from synth.seeds.rules import MAX_LINE_BYTES, distinct_names
from synth.storage.paths import SCHEME


class Row(NamedTuple):
    """One row as the file holds it.

    Attributes:
        place: `line 7`, where the row begins, or `row 7` in parquet; both count from 1.
        cells: Column name to value; an empty CSV cell is None.
    """

    place: str
    cells: dict[str, Any]


def read_rows(path: str, columns: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a local file or a URI, in file order.

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
                for number, cells in parquet_rows(path, stream, columns):
                    yield Row(f"row {number}", cells)


def size_bytes(path: str) -> int:
    """Return the size of a local file or a URI.

    Raises:
        BadInput: The file can not be read.
    """
    with _open(path) as stream:
        return stream.seek(0, io.SEEK_END)


def sha256(path: str) -> str:
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


def _jsonl_rows(path: str, stream: BinaryIO) -> Iterator[Row]:
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
        yield Row(place, cells)


def _csv_rows(path: str, stream: BinaryIO, delimiter: str = ",") -> Iterator[Row]:
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
    header: list[str] = []
    try:
        for cells in reader:
            place, begins_at, row_chars = f"line {begins_at}", reader.line_num + 1, 0
            if not cells:
                continue
            if not header:
                header = distinct_names(path, place, cells)
            elif len(cells) != len(header):
                rule = f"must have {len(header)} cells, as the header has"
                raise BadInput(file=path, field=place, value=f"{len(cells)} cells", rule=rule)
            else:
                yield Row(place, {k: v or None for k, v in zip(header, cells, strict=True)})
    except csv.Error as error:
        field = f"line {begins_at}"
        rule = "must be well-formed CSV"
        raise BadInput(file=path, field=field, value=str(error), rule=rule) from error


def _without_comment(number: int, text: str) -> str:
    """Empty a comment on the first line, which keeps the CSV reader's count of lines true."""
    return "\n" if number == 1 and text.startswith("#") else text
