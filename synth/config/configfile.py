"""From a YAML file and `--set` overrides to a validated configuration.

Every violation is one `BadInput`. Relative paths inside a configuration (`run`, `seeds.path`,
guidelines, policies) are relative to the current folder.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from synth.config.configfields import field_path, nearest_field
from synth.config.schema import SynthConfig
from synth.config.yamlfile import parse_yaml, read_text
from synth.errors import BadInput

OVERRIDES = "--set"

# Sections of packages above this one: read by whoever knows them.
_OTHERS_SECTIONS = frozenset({"finetune", "evaluate", "compare"})
# What a run adds to its own `config.yaml`, so that the file can be given back as it is.
_WRITTEN_BY_RUNS = frozenset({"fingerprint", "drift"})
# Keys that no section has, but that somebody may try: their values stay out of messages.
_SECRET = re.compile(r"(api_?key|secret|password|token)$", re.IGNORECASE)

Config = TypeVar("Config", bound=BaseModel)


def load_config(
    path: str | Path,
    overrides: Iterable[str] = (),
    model: type[Config] = SynthConfig,  # pyrefly: ignore[bad-function-definition]
) -> Config:
    """Read a configuration.

    Args:
        path: A YAML file of `model`'s fields.
        overrides: `section.field=value` each, the value read as YAML; they win over the file.
        model: What the file describes. Sections that belong to other packages are left out.

    Raises:
        BadInput: The file can not be read, or breaks a rule; names the first and counts the rest.
    """
    file = str(path)
    data = _mapping(file, read_text(file))
    set_fields = [_override(data, text) for text in overrides]
    ignored = (_OTHERS_SECTIONS | _WRITTEN_BY_RUNS) - model.model_fields.keys()
    fields = {key: value for key, value in data.items() if key not in ignored}
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _bad_field(file, fields, set_fields, model, error) from None


def _mapping(file: str, text: str) -> dict[str, Any]:
    data = parse_yaml(file, text)
    if not isinstance(data, dict):
        rule = "must be a mapping of fields, such as `run: runs/first`"
        raise BadInput(file=file, field="file", value=data, rule=rule)
    return data


def _override(data: dict[str, Any], text: str) -> str:
    """Put `a.b.c=value` into `data`; return `a.b.c`."""
    dotted, equals, value = text.partition("=")
    names = dotted.strip().split(".")
    if not equals or not all(names):
        rule = "must be section.field=value"
        raise BadInput(file=OVERRIDES, field=dotted, value=text, rule=rule)
    section = data
    for depth, name in enumerate(names[:-1], start=1):
        below = section.get(name)
        if below is None:
            below = section[name] = {}
        if not isinstance(below, dict):
            rule = f"{'.'.join(names[:depth])} is no section"
            raise BadInput(file=OVERRIDES, field=dotted, value=below, rule=rule)
        section = below
    section[names[-1]] = parse_yaml(OVERRIDES, value)
    return ".".join(names)


def _bad_field(
    file: str,
    data: Mapping[str, Any],
    set_fields: Sequence[str],
    model: type[BaseModel],
    error: ValidationError,
) -> BadInput:
    """Return the first violation as one line, the others as their number."""
    first, *others = error.errors(include_url=False)
    place = field_path(first["loc"], data)
    field = ".".join(map(str, place)) or "file"
    rule = _rule(first["type"], first["msg"])
    if first["type"] == "extra_forbidden":
        rule = f"unknown key{nearest_field(model, place)}"
    if others:
        rule += f" ({len(others)} more {'rule is' if len(others) == 1 else 'rules are'} broken)"
    value = None if first["type"] == "missing" else first["input"]
    if _SECRET.search(field):
        value = "(not shown)"
    overridden = any(f"{field}.".startswith(f"{name}.") for name in set_fields)
    return BadInput(file=OVERRIDES if overridden else file, field=field, value=value, rule=rule)


def _rule(kind: str, message: str) -> str:
    """Return what pydantic says as a rule."""
    if kind == "missing":
        return "is required"
    if kind in ("model_type", "dict_type"):
        return "must be a section of fields"
    return message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
