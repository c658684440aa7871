"""Markdown with YAML front matter: splitting it, and splitting a body into sections.

Front matter is flat, `key: value` lines between two `---` lines. Nested values and aliases are
refused before anything is built from them, so that a small file cannot grow into a large one.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import yaml

from guidelines.errors import BadInput

_FRONT_MATTER = re.compile(r"---[ \t]*\n((?:.*\n)*?)---[ \t]*(?:\n|\Z)")
_MAX_SCALAR_CHARS = 1_000
_HEADING = re.compile(r"^##[ \t]+(\S.*)$", re.MULTILINE)


def split_front_matter(
    file: str, text: str, keys: Collection[str]
) -> tuple[dict[str, object], str]:
    """Split a document into its front matter, which has exactly `keys`, and its stripped body.

    Raises:
        BadInput: The front matter is absent, not YAML or not flat, or its keys differ from
            `keys`; or the body is empty.
    """
    found = _FRONT_MATTER.match(text)
    if not found:
        rule = "must open with front matter between two --- lines"
        raise BadInput(file=file, field="front matter", value=text[:40], rule=rule)
    fields = _flat_yaml(file, found[1])
    if unknown := sorted(fields.keys() - set(keys)):
        rule = f"unknown key; the keys are {', '.join(keys)}"
        raise BadInput(file=file, field=unknown[0], value=fields[unknown[0]], rule=rule)
    if missing := [key for key in keys if key not in fields]:
        raise BadInput(file=file, field=missing[0], value=None, rule="is required")
    body = text[found.end() :].strip()
    if not body:
        raise BadInput(file=file, field="text", value="", rule="must not be empty")
    return fields, body


def split_sections(file: str, body: str) -> list[tuple[str, str]]:
    """Split a body at its `## Name` lines into (name, text), in order.

    Raises:
        BadInput: Text stands before the first heading, a section is empty, or a name is repeated.
    """
    before, *rest = _HEADING.split(body)
    if before.strip():
        rule = "must open with a ## heading"
        raise BadInput(file=file, field="text", value=before.strip(), rule=rule)
    names, texts = [[part.strip() for part in rest[start::2]] for start in (0, 1)]
    _refuse_repeats(file, names)
    sections = list(zip(names, texts, strict=True))
    for name, text in sections:
        if not text:
            raise BadInput(file=file, field=f"## {name}", value="", rule="must not be empty")
    return sections


def _refuse_repeats(file: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise BadInput(file=file, field=name, value=f"{count} times", rule="must stand once")


def _flat_yaml(file: str, text: str) -> dict[str, object]:
    try:
        _refuse_repeats(file, _scalar_keys(file, text))
        fields = yaml.safe_load(text)
    except BadInput:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 2}" if mark else "front matter"
        rule = f"must be YAML: {error.problem}"
        raise BadInput(file=file, field=where, value=text[:40], rule=rule) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a date or number out of range
        rule = f"must be YAML: {error}"
        raise BadInput(file=file, field="front matter", value=text[:40], rule=rule) from error
    return {str(key): value for key, value in fields.items()}


def _scalar_keys(file: str, text: str) -> list[str]:
    """Return the keys of a flat mapping, duplicates included, which `safe_load` would hide."""
    scalars: list[str] = []
    num_mappings = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        num_mappings += isinstance(event, yaml.MappingStartEvent)
        if isinstance(event, yaml.ScalarEvent):
            scalars.append(event.value)
        if num_mappings > 1 or not _is_flat(event):
            break
    else:
        if num_mappings == 1:
            _refuse_long(file, dict(zip(scalars[::2], scalars[1::2], strict=True)))
            return scalars[::2]
    rule = "must be flat `key: value` lines: no lists, nested keys, aliases or tags"
    raise BadInput(file=file, field="front matter", value=text[:40], rule=rule)


def _refuse_long(file: str, fields: Mapping[str, str]) -> None:
    """`1:1:1` is a number to the base of 60: a long one takes minutes to work out."""
    for name, text in fields.items():
        if len(text) > _MAX_SCALAR_CHARS:
            rule = f"must be at most {_MAX_SCALAR_CHARS} characters"
            raise BadInput(file=file, field=name, value=text, rule=rule)


def _is_flat(event: yaml.Event) -> bool:
    """Tell whether an event may stand in flat front matter; tags could build other types."""
    refused = isinstance(event, yaml.AliasEvent | yaml.SequenceStartEvent)
    return not refused and getattr(event, "tag", None) is None
