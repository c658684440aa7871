"""The rows of a parquet file of prompts, in bounded memory whatever the file unfolds to.

Parquet names a text once and repeats it by number, and compresses what it names: a few hundred
bytes can stand for terabytes. So texts are read as those numbers, and written out a few rows at
a time.
"""

import io
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from synth.errors import BadInput
from synth.seeds.rules import MAX_LINE_BYTES, distinct_names

BATCH_ROWS = 1024
PIECE_BYTES = 64 << 20  # of text written out at once, where rows are not longer
# What a file may unfold to: this, or so many times its size, whichever is more; a row the former.
UNFOLDED_BYTES, UNFOLDED_TIMES = 1 << 30, 1_000

Cells = dict[str, Any]


def parquet_rows(
    path: str, stream: BinaryIO, columns: Collection[str]
) -> Iterator[tuple[int, Cells]]:
    """Yield `(number, cells)` of every row, numbers from 1; other columns are not read.

    Raises:
        BadInput: It is no parquet, a column is of another type, or texts are too long.
    """
    allowed = max(UNFOLDED_BYTES, UNFOLDED_TIMES * stream.seek(0, io.SEEK_END))
    file, wanted = _open(path, stream, columns)
    number, unfolded = 1, 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
            for piece in _pieces(batch):
                unfolded += (size := _unfolded_bytes(piece))
                if unfolded > allowed or size > UNFOLDED_BYTES:
                    raise _unfolds(path, number, unfolded)
                for cells in _cells(piece):
                    yield number, cells
                    number += 1
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        bad = error.object[error.start : error.end]
        field = f"row {number}"
        raise BadInput(file=path, field=field, value=bad, rule="must be UTF-8") from error
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        field = f"row {number}"
        rule = "must be readable parquet"
        raise BadInput(file=path, field=field, value=str(error), rule=rule) from error


def _open(
    path: str, stream: BinaryIO, columns: Collection[str]
) -> tuple[pq.ParquetFile, list[str]]:
    """Return the file and those of `columns` it has, each of a type a prompt can have."""
    try:
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        rule = "must be a parquet file"
        raise BadInput(file=path, field="schema", value=str(error), rule=rule) from error
    wanted = [name for name in distinct_names(path, "schema", schema.names) if name in columns]
    for name in wanted:
        kind = schema.field(name).type
        if not _is_plain(kind):
            rule = "must be of text, numbers or truth values, or of lists of {role, content}"
            raise BadInput(file=path, field=f"column {name}", value=str(kind), rule=rule)
    leaves = _leaves(file, wanted)
    _check_sizes(path, file, leaves)
    kinds = {leaf: file.schema.column(index).physical_type for index, leaf in leaves.items()}
    texts = [leaf for leaf, kind in kinds.items() if kind == "BYTE_ARRAY"]
    return pq.ParquetFile(stream, metadata=file.metadata, read_dictionary=texts), wanted


def _leaves(file: pq.ParquetFile, wanted: Collection[str]) -> dict[int, str]:
    """Return the columns that hold the values of `wanted`, by their index."""
    paths = {index: file.schema.column(index).path for index in range(len(file.schema))}
    return {
        index: path
        for index, path in paths.items()
        if any(path == name or path.startswith(f"{name}.") for name in wanted)
    }


def _check_sizes(path: str, file: pq.ParquetFile, leaves: Mapping[int, str]) -> None:
    """Refuse a column whose texts are too long by the file's own account, before they are read."""
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        most = (group.num_rows + 1) * MAX_LINE_BYTES
        for index, leaf in leaves.items():
            if (size := group.column(index).total_uncompressed_size) > most:
                field = f"row group {number + 1}: column {leaf}"
                rule = f"must hold at most {MAX_LINE_BYTES} bytes a row"
                raise BadInput(file=path, field=field, value=f"{size} bytes", rule=rule)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch so that its rows, written out, fill about `PIECE_BYTES`."""
    share = PIECE_BYTES / max(PIECE_BYTES, _unfolded_bytes(batch))
    rows = max(1, int(batch.num_rows * share))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _unfolded_bytes(batch: pa.RecordBatch) -> int:
    """Return what the texts of a batch take, written out."""
    return sum(_length(texts) for column in batch.columns for texts in _texts(column))


def _length(texts: pa.DictionaryArray) -> int:
    lengths = pc.call_function("binary_length", [texts.dictionary])
    return pc.call_function("sum", [lengths.take(texts.indices)]).as_py() or 0


def _texts(column: pa.Array) -> Iterator[pa.DictionaryArray]:
    """Yield the texts in a column, however deep they lie."""
    if types.is_dictionary(column.type):
        if not types.is_integer(column.type.value_type):
            yield column
    elif types.is_struct(column.type):
        for field in column.flatten():
            yield from _texts(field)
    elif types.is_list(column.type) or types.is_large_list(column.type):
        yield from _texts(column.flatten())


def _cells(piece: pa.RecordBatch) -> Iterator[Cells]:
    """Yield the rows of a piece, as Python's own values."""
    if not piece.num_columns:
        yield from ({} for _ in range(piece.num_rows))
        return
    plain = [c.dictionary_decode() if types.is_dictionary(c.type) else c for c in piece.columns]
    table = pa.RecordBatch.from_arrays(plain, names=piece.schema.names)
    try:
        yield from table.to_pylist()
    except UnicodeDecodeError:  # nothing is yielded yet: go as far as the row it is in
        for row in range(table.num_rows):
            yield from table.slice(row, 1).to_pylist()


def _unfolds(path: str, number: int, unfolded: int) -> BadInput:
    rule = f"must not unfold to more than {UNFOLDED_TIMES} times the file's size"
    return BadInput(file=path, field=f"row {number}", value=unfolded, rule=rule)


def _is_plain(kind: pa.DataType) -> bool:
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return types.is_struct(kind.value_type)
    texts = types.is_string(kind) or types.is_large_string(kind)
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return texts or numbers or types.is_null(kind)
