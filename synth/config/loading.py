"""From a YAML file and `--set` overrides to a validated configuration.

Every violation is one `BadInput`. Relative paths inside a configuration (`run`, `seeds.path`,
guidelines, policies) are relative to the current folder.

Nobody has to be trusted with the YAML: it is plain data, bounded in size and in what it unfolds
to. A few lines of aliases can stand for gigabytes, and `1:1:1`, a number to the base of 60, for
minutes of work. Neither is needed in a configuration, so both are refused.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from synth.config.schema import SynthConfig
from synth.errors import BadInput

MAX_BYTES = 1 << 20
_MAX_NUMBER_CHARS = 40

Place = tuple[str | int, ...]

_MISSING = object()

OVERRIDES = "--set"

# Sections of packages above this one: read by whoever knows them.
_OTHERS_SECTIONS = frozenset({"finetune", "evaluate", "compare"})
# What a run adds to its own `config.yaml`, so that the file can be given back as it is.
_WRITTEN_BY_RUNS = frozenset({"fingerprint", "drift"})
# Keys that no section has, but that somebody may try: their values stay out of messages.
_SECRET = re.compile(r"(api_?key|secret|password|token)$", re.IGNORECASE)

Config = TypeVar("Config", bound=BaseModel)


def read_text(file: str) -> str:
    """Read a file of at most `MAX_BYTES`.

    Raises:
        BadInput: It can not be read, is larger, or is not UTF-8.
    """
    try:
        with Path(file).open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        rule = "must be a readable YAML file"
        raise BadInput(file=file, field="file", value=reason, rule=rule) from error
    if len(raw) > MAX_BYTES:
        rule = f"must be at most {MAX_BYTES >> 20} MiB"
        raise BadInput(file=file, field="size", value=f"over {MAX_BYTES} bytes", rule=rule)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        bad = raw[error.start : error.end]
        raise BadInput(file=file, field=f"line {line}", value=bad, rule="must be UTF-8") from error


def parse_yaml(file: str, text: str) -> Any:
    """Return the plain data that `text` describes; `file` is what errors name.

    Raises:
        BadInput: It is not YAML, or more than plain data.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader, made stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}" if mark else "file"
        rule = error.problem or "must be YAML"
        raise BadInput(file=file, field=place, value=_line(text, mark), rule=rule) from error
    except (yaml.YAMLError, ArithmeticError, ValueError, RecursionError) as error:
        rule = f"must be YAML: {_first_line(error)}"
        raise BadInput(file=file, field="file", value=text.strip(), rule=rule) from error


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without aliases, long numbers, and a key that stands twice."""

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

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(node.value) > _MAX_NUMBER_CHARS:
            problem = f"must not hold a number of more than {_MAX_NUMBER_CHARS} characters"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if node.tag.endswith(":int"):
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_number)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _StrictLoader.construct_number)


def _line(text: str, mark: yaml.Mark | None) -> str:
    lines = text.splitlines()
    return lines[mark.line].strip() if mark and mark.line < len(lines) else ""


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


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
