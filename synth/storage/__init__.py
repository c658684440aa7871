"""The one door to a run's files: created, never replaced.

Everything published (plans, leases, measures, manifests) goes through `publish`: the first
writer wins and the loser reads what is there, so two drivers on one run are wasteful, not
wrong. Only what is derived or advisory (progress, a report) is written with `replace`.

A path is local or `s3://bucket/folder/...`; what each operation becomes on S3 is in
`docs/storage.md`. Libraries that read and write folders by themselves get local ones:
`writing`, `local_copy` and `local_folder`.
"""

import importlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pa_fs

from synth.storage import local
from synth.storage.cache import cache_root
from synth.storage.paths import absolute, check_path, is_remote, join, locate, settings, use

__all__ = [
    "absolute",
    "check_path",
    "exists",
    "in_parallel",
    "is_remote",
    "join",
    "list_files",
    "list_folders",
    "local_copy",
    "local_folder",
    "open_input",
    "publish",
    "ray_train_storage",
    "read",
    "remove",
    "remove_folder",
    "replace",
    "settings",
    "upload_folder",
    "use",
    "writing",
]

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16


def publish(path: str, data: bytes) -> bool:
    """Create `path` with `data`, durably and atomically.

    Returns:
        True where this call created it, False where it was there already (left as it is).
    """
    return _backend(path).publish(path, data)


def replace(path: str, data: bytes) -> None:
    """Write `path` atomically, over what was there: for advisory and derived files only."""
    _backend(path).replace(path, data)


def read(path: str) -> bytes:
    """Return the bytes of `path`.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return _backend(path).read(path)


def open_input(path: str) -> pa.NativeFile:
    """Open `path` for reading parts of it (parquet footers, single row groups).

    Raises:
        FileNotFoundError: There is no such file.
    """
    return _backend(path).open_input(path)


def exists(path: str) -> bool:
    """Say whether `path` is a published file."""
    return _backend(path).exists(path)


def list_files(folder: str) -> list[str]:
    """Return the sorted names of the files directly in `folder`; none where it is missing."""
    return _backend(folder).list_files(folder)


def list_folders(folder: str) -> list[str]:
    """Return the sorted names of the folders directly in `folder`; none where it is missing."""
    return _backend(folder).list_folders(folder)


def remove(path: str) -> None:
    """Remove one derived file; a missing one is fine."""
    _backend(path).remove(path)


def remove_folder(path: str) -> None:
    """Remove a derived folder with all that is in it; a missing one is fine."""
    _backend(path).remove_folder(path)


@contextmanager
def writing(path: str) -> Iterator[Path]:
    """Give a local folder for what becomes the folder `path`.

    Of a local path it is that folder itself. Of a remote one it is a temporary folder, whose
    files are uploaded at the end, unless the block raises. Either way it counts as finished
    only once a manifest is published in it.
    """
    if not is_remote(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="guideweave-") as folder:
        yield Path(folder)
        upload_folder(Path(folder), path)


def upload_folder(folder: Path, path: str) -> None:
    """Copy the files of a local folder into the remote folder `path`, over what is there."""
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        _backend(path).upload(file, join(path, file.relative_to(folder).as_posix()))


def local_copy(path: str) -> str:
    """Return a local folder with the files directly in `path`: itself where it is local.

    A remote folder is downloaded once a machine and content, into the user's cache.

    Raises:
        FileNotFoundError: There is no file in it.
    """
    if not is_remote(path):
        return path
    return str(_backend(path).download_folder(path))


def local_folder(path: str) -> Path:
    """Return `path` as a local folder, for what has to be written bit by bit, such as logs.

    For a remote path it is a folder of the user's cache that stands for it on this machine;
    `upload_folder` takes its files there.
    """
    if not is_remote(path):
        return Path(path)
    return cache_root().joinpath("s3", *locate(path)).absolute()


def ray_train_storage(path: str) -> tuple[str, pa_fs.FileSystem | None]:
    """Return what Ray Train keeps its checkpoints in `path` by: its own path, and filesystem."""
    if not is_remote(path):
        return path, None
    return "/".join(locate(path)), _backend(path).arrow_filesystem()


def _backend(path: str) -> Any:
    """Return the module that has these functions for `path`."""
    check_path(path)
    # boto3 is loaded only where a path needs it.
    return importlib.import_module("synth.storage.s3") if is_remote(path) else local


def in_parallel(folder: str, function: Callable[[T], R], arguments: Iterable[T]) -> Iterator[R]:
    """Map `function`, which reads files of `folder`, in order; threads wait for remote ones.

    A bounded number is read ahead, so that many large files never meet in memory.
    """
    if not is_remote(folder):
        yield from map(function, arguments)
        return
    left = iter(arguments)
    with ThreadPoolExecutor(THREADS) as threads:
        ahead = [threads.submit(function, argument) for argument in islice(left, 2 * THREADS)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [threads.submit(function, argument) for argument in islice(left, 1)]
