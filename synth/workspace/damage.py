"""Files of a run that can not be read: named in one line, and set aside when a person asks.

Files are published whole. What breaks one later (a disk that was full where it was copied to, a
sync that stopped half-way) is no fault of ours to guess about: whoever meets it says which it is
and what may be done, and nobody takes it for a file that is not there.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth import storage
from synth.errors import BadInput
from synth.records import digest_bytes

DAMAGED = "damaged"  # the folder for them, in the workspace
_WAY_OUT = "`guideweave retry --damaged RUN` moves it aside, and what it held is made again"


def damaged(path: str, error: object) -> BadInput:
    """Return what to say of a file that can not be read."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadInput(file=path, field="file", value=reason, rule=f"must be whole: {_WAY_OUT}")


@contextmanager
def naming_damage(path: str) -> Iterator[None]:
    """Give what pyarrow says of an unreadable file its name.

    Raises:
        BadInput: The file is damaged, as far as the block has read it.
    """
    try:
        yield
    except pa.ArrowInvalid as error:
        raise damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:  # of the disk or the network, not of what is in the file
            raise
        raise damaged(path, error) from error


@contextmanager
def open_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """Open a parquet file of a run, for as long as the block reads from it.

    Raises:
        FileNotFoundError: There is no such file.
        BadInput: It is damaged, as far as was read.
    """
    with storage.open_input(path) as source, naming_damage(path):
        yield pq.ParquetFile(source)


def read_json(path: str) -> dict[str, Any] | None:
    """Return the object in a JSON file of a run; None where there is none.

    Raises:
        BadInput: It is damaged.
    """
    try:
        data = storage.read(path)
    except FileNotFoundError:
        return None
    try:
        found = json.loads(data)
    except ValueError as error:
        raise damaged(path, error) from error
    if not isinstance(found, dict):
        raise damaged(path, "no JSON object")
    return found


def move_aside(workspace: str, path: str) -> str:
    """Move a damaged file into the workspace's folder for them; return where it is then."""
    data = storage.read(path)
    name = f"{digest_bytes(data)[:8]}-{path.rsplit('/', 1)[1]}"
    aside = storage.join(workspace, DAMAGED, name)
    storage.publish(aside, data)
    storage.remove(path)
    return aside
