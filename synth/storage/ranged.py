"""A remote object as a seekable file, read in ranges."""

import io
from collections.abc import Callable
from typing import NamedTuple

TAIL_BYTES = 1 << 18  # holds the footer of any lease, and most leases whole
BLOCK_BYTES = 1 << 20  # least asked for at once, so that reading on costs no request a line


class Part(NamedTuple):
    """Some bytes of an object.

    Attributes:
        start: Where they stand in it.
        data: The bytes.
        size: Of the whole object.
        tag: The version they are of.
    """

    start: int
    data: bytes
    size: int
    tag: str

    def get(self, start: int, end: int) -> bytes | None:
        """Return `start` to `end` of the object, where this part holds it."""
        if self.start <= start and end <= self.start + len(self.data):
            return self.data[start - self.start : end - self.start]
        return None


class RangedFile(io.RawIOBase):
    """One version of a remote object; its end is read when it is opened, with its size.

    Args:
        fetch: Returns a part, given the text of a byte range, and the version it has to be of.
    """

    def __init__(self, fetch: Callable[[str, str | None], Part]) -> None:
        self._fetch = fetch
        self._tail = self._block = fetch(f"-{TAIL_BYTES}", None)
        self._position = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, from the start, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._tail.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        start = min(self._position, self._tail.size)
        length = self._tail.size if size is None or size < 0 else size
        end = min(self._tail.size, start + length)
        data = self._get(start, end)
        self._position = end
        return data

    def _get(self, start: int, end: int) -> bytes:
        for part in (self._block, self._tail):
            if (data := part.get(start, end)) is not None:
                return data
        until = min(self._tail.size, max(end, start + BLOCK_BYTES))
        self._block = self._fetch(f"{start}-{until - 1}", self._tail.tag)
        return self._block.data[: end - start]
