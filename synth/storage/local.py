"""The door's functions for local paths: see `synth.storage` for what each promises."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

import pyarrow as pa

from synth.storage.cache import sync


def publish(path: str, data: bytes) -> bool:
    """Hidden temporary, fsync, hard link, fsync of the folder."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_beside(target, data)
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync(target.parent)
    return True


def replace(path: str, data: bytes) -> None:
    """Hidden temporary, fsync, rename, fsync of the folder."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_beside(target, data).replace(target)
    sync(target.parent)


def read(path: str) -> bytes:
    """Return the file's bytes."""
    return Path(path).read_bytes()


def open_input(path: str) -> pa.NativeFile:
    """Map the file into memory."""
    return pa.memory_map(path)


def exists(path: str) -> bool:
    """Say whether it is a file."""
    return Path(path).is_file()


def list_files(folder: str) -> list[str]:
    """Return the names of its files that are not hidden."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_file() and not e.name.startswith("."))
    except FileNotFoundError:
        return []


def list_folders(folder: str) -> list[str]:
    """Return the names of its folders that are not hidden."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except FileNotFoundError:
        return []


def remove(path: str) -> None:
    """Unlink the file."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def remove_folder(path: str) -> None:
    """Remove the folder with all that is in it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _write_beside(target: Path, data: bytes) -> Path:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()  # or each attempt would fill the disk further
        raise
    return temporary
