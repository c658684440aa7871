"""Whether an identifier is among many, in twelve bytes each: a set of strings takes ten times that.

Identifiers are `synth.digest`'s.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from synth.digest import ID_HEX

_FORM = f"S{ID_HEX // 2}"


class Known:
    """A fixed set of identifiers.

    Args:
        parts: The identifiers, some at a time; one that comes again is held once.
    """

    def __init__(self, parts: Iterable[Sequence[str]]) -> None:
        packed = bytearray()
        for part in parts:
            packed += bytes.fromhex("".join(part))
        self._sorted = np.unique(np.frombuffer(packed, _FORM))

    def __len__(self) -> int:
        return len(self._sorted)

    def contains(self, identifiers: Sequence[str]) -> NDArray[np.bool_]:
        """Say of each of `identifiers` whether it is one of these."""
        asked = np.frombuffer(bytes.fromhex("".join(identifiers)), _FORM)
        if not len(self):
            return np.zeros(len(asked), bool)
        places = np.searchsorted(self._sorted, asked)
        return self._sorted[np.minimum(places, len(self) - 1)] == asked
