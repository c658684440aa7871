"""The one door to a run's files: created, never replaced.

Everything published (plans, leases, measures, manifests) goes through `publish`: the first
writer wins and the loser reads what is there, so two drivers on one run are wasteful, not
wrong. Only what is derived or advisory (progress, a report) is written with `replace`.
Paths are local; a scheme such as `s3://` is refused until its backend stands behind this door.
"""

import contextlib
import os
import secrets
from pathlib import Path

import pyarrow as pa

from synth.errors import BadInput


def publish(path: str, data: bytes) -> bool:
    """Create `path` with `data`, durably and atomically.

    Returns:
        True where this call created it, False where it was there already (left as it is).
    """
    target = _local(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_beside(target, data)
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_folder(target.parent)
    return True


def replace(path: str, data: bytes) -> None:
    """Write `path` atomically, over what was there: for advisory and derived files only."""
    target = _local(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_beside(target, data).replace(target)
    _sync_folder(target.parent)


def read(path: str) -> bytes:
    """Return the bytes of `path`.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return _local(path).read_bytes()


def open_input(path: str) -> pa.NativeFile:
    """Open `path` for reading parts of it (parquet footers, single row groups)."""
    return pa.memory_map(str(_local(path)))


def exists(path: str) -> bool:
    """Say whether `path` is a published file."""
    return _local(path).is_file()


def list_files(folder: str) -> list[str]:
    """Return the sorted names of the files directly in `folder`; none where it is missing."""
    try:
        with os.scandir(_local(folder)) as entries:
            return sorted(e.name for e in entries if e.is_file() and not e.name.startswith("."))
    except FileNotFoundError:
        return []


def list_folders(folder: str) -> list[str]:
    """Return the sorted names of the folders directly in `folder`; none where it is missing."""
    try:
        with os.scandir(_local(folder)) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except FileNotFoundError:
        return []


def remove(path: str) -> None:
    """Remove one derived file; a missing one is fine."""
    with contextlib.suppress(FileNotFoundError):
        _local(path).unlink()


def join(*parts: str) -> str:
    """Join path parts with one slash between them."""
    head, *tail = parts
    return "/".join([head.rstrip("/"), *(part.strip("/") for part in tail)])


def local_folder(path: str) -> Path:
    """Return `path` as a local folder, for libraries that write folders themselves."""
    return _local(path)


def _local(path: str) -> Path:
    if "://" in path:
        raise BadInput(file=path, field="run", value=path, rule="must be a local path")
    return Path(path)


def _write_beside(target: Path, data: bytes) -> Path:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with temporary.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
