"""Our folder within the user's cache: folders made once a machine, which survive a power cut."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_root() -> Path:
    """Return our folder within the user's cache: `$XDG_CACHE_HOME`, or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "guideweave"


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, made by the first process that asks for it.

    Processes that ask at once wait for the one that makes it; one that is killed half-way
    leaves nothing behind that counts.

    Args:
        folder: Where it will be; its name tells apart all that differs.
        make: Fills the folder it is given, which then gets its name.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _make(folder, make)
    return folder


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    """Build beside `folder`, make it durable, then give it its name. The lock is held."""
    prefix = f".{folder.name}."
    for leftover in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover)
    building = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    make(building)
    for path in (*building.iterdir(), building):
        sync(path)
    building.rename(folder)
    sync(folder.parent)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
