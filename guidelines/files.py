"""Guideline files as bytes: reading them, hashing them, decoding them."""

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from guidelines.errors import BadInput

MAX_FILE_BYTES = 256 * 1024

# Controls, what turns the direction of text, and the tags that a model reads and nobody sees.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Read the Markdown files of a set, in name order, keyed by `name.md` or `exemplars/name.md`.

    Hidden files (editors and file managers leave them) are no part of a set.
    """
    paths = [*folder.glob("*.md"), *folder.glob("exemplars/*.md")]
    names = (p.relative_to(folder).as_posix() for p in paths if not p.name.startswith("."))
    return {name: read_file(folder / name) for name in sorted(names)}


def read_file(path: Path) -> bytes:
    """Read one file.

    Raises:
        BadInput: The file cannot be read or holds more than `MAX_FILE_BYTES`.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise FileNotFoundError(errno.ENOENT, "not a regular file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(
            file=str(path), field="file", value=error.strerror, rule="must be a readable file"
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        rule = f"must be at most {MAX_FILE_BYTES // 1024} KiB"
        raise BadInput(file=str(path), field="size", value=f"over {MAX_FILE_BYTES} B", rule=rule)
    return raw


def sha256(raw: bytes) -> str:
    """Hash bytes, as 64 hex digits."""
    return hashlib.sha256(raw).hexdigest()


def digest(files: Mapping[str, bytes]) -> str:
    """Hash the names and bytes of files, whatever their order and wherever they lie."""
    hashes = {name: sha256(raw) for name, raw in files.items()}
    return sha256(json.dumps(hashes, sort_keys=True).encode())


def decode(file: str, raw: bytes) -> str:
    """Decode UTF-8 text, with plain line feeds and without a byte order mark.

    Raises:
        BadInput: Bytes are not UTF-8, or a control character is among them, or one that hides
            text or turns its direction; names the line.
    """
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        bad = raw[error.start : error.end]
        raise BadInput(file=file, field=f"line {line}", value=bad, rule="must be UTF-8") from error
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        rule = "must hold no control characters, and none that hide or turn text"
        raise BadInput(file=file, field=f"line {line}", value=found[0], rule=rule)
    return text
