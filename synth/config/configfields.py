"""The fields of a configuration by their dotted names: for messages about wrong ones."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

Place = tuple[str | int, ...]

_MISSING = object()


def field_path(place: Place, data: Any) -> Place:
    """Return where in `data` a validation error stands.

    pydantic also names the member of a union that was tried; that is no place in a file.
    """
    path: list[str | int] = []
    for depth, part in enumerate(place):
        inner = _item(data, part)
        if inner is not _MISSING:
            data = inner
        elif depth < len(place) - 1 or not isinstance(data, Mapping):
            continue
        path.append(part)
    return tuple(path)


def _item(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part, _MISSING)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return _MISSING


def nearest_field(model: type[BaseModel], place: Place) -> str:
    """Return a hint at the field that an unknown one may stand for, or an empty string.

    That is one of the same name in another section, or one of a similar name in the same.
    """
    *parents, wrong = (part for part in place if isinstance(part, str))
    section = ".".join(parents)
    known = list(dotted_fields(model))
    siblings = [name for name in known if name.rpartition(".")[0] == section]
    names = {name.rpartition(".")[2]: name for name in siblings}
    elsewhere = [name for name in known if name.rpartition(".")[2] == wrong]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    for close in get_close_matches(wrong, names, n=1):
        return f"; did you mean {names[close]}?"
    return f"; known here: {', '.join(names)}" if names else ""


def dotted_fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every field of `model` and of its sections."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for section in _sections(field.annotation):
            yield from dotted_fields(section, f"{prefix}{name}.")


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
