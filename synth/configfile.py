"""From a YAML file and `--set` overrides to a validated configuration.

YAML is loaded safely: bounded in size, without aliases (a few lines of them can stand for
gigabytes), no key twice. Every violation is one `BadInput`. Relative paths inside a
configuration (`run`, `seeds.path`, guidelines, policies) are relative to the current folder.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from synth.config import SynthConfig
from synth.configfields import field_path, nearest_field
from synth.errors import BadInput

MAX_BYTES = 1 << 20
OVERRIDES = "--set"

# Sections of packages above this one: read by whoever knows them.
_OTHERS_SECTIONS = frozenset({"finetune", "evaluate"})
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
    data = _mapping(file, _read(file))
    set_fields = [_override(data, text) for text in overrides]
    ignored = (_OTHERS_SECTIONS | _WRITTEN_BY_RUNS) - model.model_fields.keys()
    fields = {key: value for key, value in data.items() if key not in ignored}
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _bad_field(file, fields, set_fields, model, error) from None


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        rule = "must be a readable YAML file"
        raise BadInput(file=file, field="file", value=error.strerror, rule=rule) from error
    if len(raw) > MAX_BYTES:
        rule = f"must be at most {MAX_BYTES >> 20} MiB"
        raise BadInput(file=file, field="size", value=f"over {MAX_BYTES} bytes", rule=rule)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        bad = raw[error.start : error.end]
        raise BadInput(file=file, field=f"line {line}", value=bad, rule="must be UTF-8") from error


def _mapping(file: str, text: str) -> dict[str, Any]:
    data = _yaml(file, text)
    if not isinstance(data, dict):
        rule = "must be a mapping of fields, such as `run: runs/first`"
        raise BadInput(file=file, field="file", value=data, rule=rule)
    return data


def _yaml(file: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader, made stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}" if mark else "file"
        rule = error.problem or "must be YAML"
        raise BadInput(file=file, field=place, value=_line(text, mark), rule=rule) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        rule = f"must be YAML: {_first_line(error)}"
        raise BadInput(file=file, field="file", value=text.strip(), rule=rule) from error


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without aliases and without a key that stands twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="must not hold aliases", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"must have text as a key, not {key!r}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            if key in seen:
                problem = f"must not hold the key {key} twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


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
    section[names[-1]] = _yaml(OVERRIDES, value)
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


def _line(text: str, mark: yaml.Mark | None) -> str:
    lines = text.splitlines()
    return lines[mark.line].strip() if mark and mark.line < len(lines) else ""


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
