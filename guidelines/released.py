"""The sets that ship with the project, and the lock that keeps released text as it was.

`lock.json` maps each released file to its SHA-256. Text changes by adding a file: a guideline of
the same id with a higher version, or, for an exemplar, another set.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from guidelines.errors import BadInput
from guidelines.files import read_folder, sha256

ROOT = Path(__file__).parent


def shipped_names(root: Path = ROOT) -> list[str]:
    """Name the sets under `root`: its folders that hold Markdown files."""
    return sorted(path.name for path in root.iterdir() if any(path.glob("*.md")))


def verify(root: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Check the files of the shipped set `name` against the lock.

    Raises:
        BadInput: A file differs from its release, is gone, or was never released.
    """
    lock = {path: sha for path, sha in _read_lock(root).items() if path.startswith(f"{name}/")}
    hashes = {f"{name}/{path}": sha256(raw) for path, raw in files.items()}
    _refuse_changes(root, lock, hashes)
    if new := sorted(hashes.keys() - lock.keys()):
        rule = "is not released: run `python -m guidelines.lock`"
        raise BadInput(file=str(root / new[0]), field="sha256", value=hashes[new[0]], rule=rule)


def write_lock(root: Path = ROOT) -> list[str]:
    """Add the files that `root/lock.json` does not know, and return their paths.

    Raises:
        BadInput: A released file was changed or removed; the lock is left as it was.
    """
    lock = _read_lock(root)
    hashes = {
        f"{name}/{path}": sha256(raw)
        for name in shipped_names(root)
        for path, raw in read_folder(root / name).items()
    }
    _refuse_changes(root, lock, hashes)
    added = sorted(hashes.keys() - lock.keys())
    if added:
        (root / "lock.json").write_text(json.dumps(hashes, indent=2, sort_keys=True) + "\n")
    return added


def _read_lock(root: Path) -> dict[str, str]:
    path = root / "lock.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _refuse_changes(root: Path, lock: Mapping[str, str], hashes: Mapping[str, str]) -> None:
    for path, released in lock.items():
        if hashes.get(path) != released:
            rule = "released text never changes: add a new version"
            raise BadInput(file=str(root / path), field="sha256", value=hashes.get(path), rule=rule)
