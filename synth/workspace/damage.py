"""Files of a run that can not be read: named in one line, and set aside when a person asks.

Files are published whole. What breaks one later (a disk that was full where it was copied to, a
sync that stopped half-way) is no fault of ours to guess about: whoever meets it says which it is
and what may be done, and nobody takes it for a file that is not there.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth import storage
from synth.errors import BadInput
from synth.records import digest_bytes

MANIFEST = "manifest.json"
DAMAGED = "damaged"  # the folder for them, beside what they were part of
_OURS = re.compile(r"(round-\d{3,}|[0-9a-f]{24})\.parquet")  # other names are nobody's
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


def set_apart_damaged_files(folder: str) -> list[str]:
    """Move the damaged files of a run or batch into its folder for them; return where they stood.

    Plans, traces and measures are read to their last byte, and manifests whole. What was in a file
    that is moved is owed again, or made again by its stage. Measures of traces that are moved go
    with them: those made again are other texts.
    """
    files = list(_files(folder))
    moved = [path for path in files if _is_damaged(path)]
    traces = storage.join(folder, "traces")
    lost = {path.rsplit("/", 1)[1] for path in moved if path.rsplit("/", 1)[0] == traces}
    measures = storage.join(folder, "measures")
    of_lost = (p for p in files if p.startswith(measures) and p.rsplit("/", 1)[1] in lost)
    moved = list(dict.fromkeys([*moved, *of_lost]))
    for path in moved:
        data = storage.read(path)
        name = f"{digest_bytes(data)[:8]}-{path.rsplit('/', 1)[1]}"
        storage.publish(storage.join(folder, DAMAGED, name), data)
        storage.remove(path)
    return moved


def _files(folder: str) -> Iterator[str]:
    """Yield the paths of the files that count."""
    measures = storage.join(folder, "measures")
    tables = [storage.join(folder, part) for part in ("plan", "traces")]
    tables += [storage.join(measures, name) for name in storage.list_folders(measures)]
    for table in tables:
        for name in filter(_OURS.fullmatch, storage.list_files(table)):
            yield storage.join(table, name)
    for kind in ("curated", "models", "evals"):
        above = storage.join(folder, kind)
        stages = (above, *(storage.join(above, name) for name in storage.list_folders(above)))
        for stage in stages:
            if storage.exists(path := storage.join(stage, MANIFEST)):
                yield path


def _is_damaged(path: str) -> bool:
    try:
        if path.endswith(MANIFEST):
            read_json(path)
            return False
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group)
    except BadInput:
        return True
    return False
