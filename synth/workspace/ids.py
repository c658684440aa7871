"""Identifiers in twelve bytes each, for where there may be as many as a run has rows."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth.records import ID_HEX

PackedIds = NDArray[np.bytes_]

_PACKED = f"S{ID_HEX // 2}"
NO_IDS: PackedIds = np.array([], _PACKED).astype(np.bytes_, copy=False)


def pack(ids: Iterable[str]) -> PackedIds:
    """Return identifiers of 24 hex digits as an array of their bytes."""
    return np.frombuffer(bytes.fromhex("".join(ids)), _PACKED).astype(np.bytes_, copy=False)


def find(asked: PackedIds, among: PackedIds) -> NDArray[np.intp]:
    """Return where each of `asked` stands in the sorted `among`; -1 where it does not."""
    if not len(among):
        return np.full(len(asked), -1)
    places = np.minimum(np.searchsorted(among, asked), len(among) - 1)
    return np.where(among[places] == asked, places, -1)


def find_rows(asked: pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
    """Return where each of `asked` stands in `among`, texts both; -1 where it does not."""
    options = pc.SetLookupOptions(value_set=among)
    return pc.call_function("index_in", [asked], options).fill_null(-1).to_numpy()


class IdSet:
    """A fixed set of identifiers.

    Args:
        parts: The identifiers, some at a time; one that comes again is held once.
    """

    def __init__(self, parts: Iterable[Iterable[str]]) -> None:
        self._sorted = np.unique(np.concatenate([NO_IDS, *map(pack, parts)]))

    def __len__(self) -> int:
        return len(self._sorted)

    def contains(self, ids: Iterable[str]) -> NDArray[np.bool_]:
        """Say of each of `ids` whether it is one of these."""
        return find(pack(ids), self._sorted) >= 0
