"""Guideline sets from wherever a configuration names them: the loader itself reads folders."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from guidelines import GuidelineSet, load_guidelines
from guidelines.files import MAX_FILE_BYTES
from synth import storage
from synth.errors import BadInput


def load_set(source: str) -> GuidelineSet:
    """Load the guideline set of a name, a local path, or a file or folder on `s3://`.

    Raises:
        BadInput: Nothing is there, or a file breaks the format.
    """
    if not storage.is_remote(source):
        return load_guidelines(source)
    source = source.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="guideweave-guidelines-") as folder:
        path = Path(folder, source.rsplit("/", 1)[-1])
        try:
            _fetch(source, path)
            return load_guidelines(str(path))
        except FileNotFoundError as error:
            rule = "must be a Markdown file, or a folder of them"
            raise BadInput(file="config", field="guidelines", value=source, rule=rule) from error
        except BadInput as error:
            file = error.file.replace(str(path), source)
            raise BadInput(
                file=file, field=error.field, value=error.value, rule=error.rule
            ) from error


def _fetch(source: str, path: Path) -> None:
    """Copy the Markdown files of `source` to `path`, none further than the loader reads it."""
    for name in _names(source):
        target = path / name if name else path
        target.parent.mkdir(parents=True, exist_ok=True)
        with storage.open_input(storage.join(source, name) if name else source) as stream:
            target.write_bytes(stream.read(MAX_FILE_BYTES + 1))


def _names(source: str) -> Iterator[str]:
    """Yield the files of a set, relative to it; the empty name stands for a file itself."""
    if source.endswith(".md"):
        yield ""
        return
    found = [
        *storage.list_files(source),
        *(f"exemplars/{name}" for name in storage.list_files(storage.join(source, "exemplars"))),
    ]
    if not found:
        raise FileNotFoundError(2, "no files", source)
    yield from (name for name in found if name.endswith(".md"))
