"""Guideline sets as plain data, from the sets that ship or from a user's own files.

A set is a folder: `*.md` are its guidelines in file-name order, `exemplars/*.md` its worked
exemplars. One Markdown file is a set of one guideline. Of guidelines with the same id the highest
version counts, at the place of the first.
"""

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guidelines.errors import BadInput
from guidelines.files import decode, digest, read_file, read_folder
from guidelines.markdown import split_front_matter, split_sections
from guidelines.released import ROOT, shipped_names, verify

LABELS = ("harmful", "benign", "borderline")
MAX_VERSION = 9999

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLACEHOLDER = re.compile(r"\{[^{}\n]*\}")


@dataclass(frozen=True, slots=True)
class Guideline:
    """One guideline; `text` goes into prompts verbatim."""

    id: str
    title: str
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One worked example: a prompt and the sections of a good reply, as ordered (name, text)."""

    id: str
    label: str
    prompt: str
    sections: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GuidelineSet:
    """The texts one generation is conditioned on.

    Attributes:
        name: The folder's name, or the file's without its suffix.
        version: The highest version among the guidelines.
        guidelines: In file-name order, at least one.
        exemplars: In file-name order, perhaps none.
        digest: SHA-256 over the names and bytes of all files, whatever folder they lie in.
    """

    name: str
    version: int
    guidelines: tuple[Guideline, ...]
    exemplars: tuple[Exemplar, ...]
    digest: str


def load_guidelines(source: str, *, root: Path = ROOT) -> GuidelineSet:
    """Load a guideline set and check it whole.

    Args:
        source: The name of a set that ships, which is held to its lock; or the path of a Markdown
            file or a folder. A folder that has a shipped set's name is reached as `./name`.
        root: Where the shipped sets and their lock lie.

    Raises:
        BadInput: Nothing has that name, or a file breaks the format or differs from its release.
    """
    shipped = shipped_names(root)
    if source in shipped:
        files = read_folder(root / source)
        verify(root, source, files)
        return _build(source, root / source, files)
    # os.path answers False where Path would raise: names too long, or with a NUL in them.
    if source and os.path.isdir(source):
        folder = Path(source).resolve()
        return _build(folder.name, Path(source), read_folder(folder))
    if os.path.isfile(source):
        path = Path(source)
        return _build(path.stem, path.parent, {path.name: read_file(path)})
    rule = f"must be a Markdown file, a folder, or a set that ships: {', '.join(shipped)}"
    raise BadInput(file="guidelines", field="source", value=source, rule=rule)


def _build(name: str, folder: Path, files: Mapping[str, bytes]) -> GuidelineSet:
    newest: dict[str, Guideline] = {}
    exemplars: dict[str, Exemplar] = {}
    for path, raw in files.items():
        file = str(folder / path)
        text = decode(file, raw)
        if path.startswith("exemplars/"):
            exemplar = _exemplar(file, text)
            if exemplar.id in exemplars:
                raise BadInput(file=file, field="id", value=exemplar.id, rule="must be unique")
            exemplars[exemplar.id] = exemplar
        else:
            _keep_newest(file, newest, _guideline(file, text))
    if not newest:
        rule = "must hold at least one guideline (*.md)"
        raise BadInput(file=str(folder), field="guidelines", value=list(files), rule=rule)
    return GuidelineSet(
        name=name,
        version=max(guideline.version for guideline in newest.values()),
        guidelines=tuple(newest.values()),
        exemplars=tuple(exemplars.values()),
        digest=digest(files),
    )


def _keep_newest(file: str, newest: dict[str, Guideline], guideline: Guideline) -> None:
    known = newest.get(guideline.id)
    if known and known.version == guideline.version:
        rule = f"version {known.version} of this id must stand once"
        raise BadInput(file=file, field="id", value=guideline.id, rule=rule)
    if not known or guideline.version > known.version:
        newest[guideline.id] = guideline


def _guideline(file: str, text: str) -> Guideline:
    fields, body = split_front_matter(file, text, keys=("id", "title", "version"))
    title, version = fields["title"], fields["version"]
    if not isinstance(title, str) or not title.strip() or "\n" in title:
        raise BadInput(file=file, field="title", value=title, rule="must be one line of text")
    if type(version) is not int or not 1 <= version <= MAX_VERSION:  # a bool is an int, too
        rule = f"must be a whole number from 1 to {MAX_VERSION}"
        raise BadInput(file=file, field="version", value=version, rule=rule)
    for field, value in (("title", title), ("text", body)):
        if found := _PLACEHOLDER.search(value):
            rule = "guidelines are rendered verbatim, no placeholders: write it without braces"
            raise BadInput(file=file, field=field, value=found[0], rule=rule)
    return Guideline(id=_id(file, fields["id"]), title=title.strip(), version=version, text=body)


def _exemplar(file: str, text: str) -> Exemplar:
    fields, body = split_front_matter(file, text, keys=("id", "label"))
    label = fields["label"]
    if not isinstance(label, str) or label not in LABELS:
        rule = f"must be one of {', '.join(LABELS)}"
        raise BadInput(file=file, field="label", value=label, rule=rule)
    (first, prompt), *sections = split_sections(file, body)
    if first != "Prompt":
        raise BadInput(file=file, field=f"## {first}", value=first, rule="## Prompt must be first")
    if not sections:
        rule = "must hold at least one section after ## Prompt"
        raise BadInput(file=file, field="sections", value=None, rule=rule)
    return Exemplar(
        id=_id(file, fields["id"]), label=label, prompt=prompt, sections=tuple(sections)
    )


def _id(file: str, value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        rule = "must be 1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit"
        raise BadInput(file=file, field="id", value=value, rule=rule)
    return value
