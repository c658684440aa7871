"""Rows put by for the files they will be in, on this machine's disk."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

BUFFER_BYTES = 128 << 20


class Spill:
    """Rows by the file they are for.

    Args:
        folder: An empty one, removed by the caller.
        schema: Of the rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.num_rows = 0
        self._folder, self._schema = folder, schema
        self._tables: list[pa.Table] = []
        self._files: list[int] = []
        self._num_bytes = 0
        self._parts: defaultdict[int, list[Path]] = defaultdict(list)

    def add(self, table: pa.Table, files: Sequence[int]) -> None:
        """Put rows by, each for the file of its number."""
        self.num_rows += len(table)
        self._num_bytes += table.nbytes
        self._tables.append(table)
        self._files.extend(files)
        if self._num_bytes > BUFFER_BYTES:
            self._flush()

    def take(self, file: int) -> pa.Table:
        """Return the rows for one file; after this no more can be added for it."""
        self._flush()
        tables = [feather.read_table(path, memory_map=False) for path in self._parts.pop(file, [])]
        return pa.concat_tables([self._schema.empty_table(), *tables])

    def _flush(self) -> None:
        if not self._files:
            return
        table, files = pa.concat_tables(self._tables), np.array(self._files)
        for file in np.unique(files).tolist():
            path = self._folder / f"{file}-{len(self._parts[file])}"
            feather.write_feather(table.filter(pa.array(files == file)), path, compression="lz4")
            self._parts[file].append(path)
        self._tables, self._files, self._num_bytes = [], [], 0
