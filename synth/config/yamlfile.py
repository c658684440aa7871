"""YAML that nobody has to be trusted with: plain data, bounded in size and in what it unfolds to.

A few lines of aliases can stand for gigabytes, and `1:1:1`, a number to the base of 60, for
minutes of work. Neither is needed in a configuration, so both are refused. Every violation is
one `BadInput`.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from synth.errors import BadInput

MAX_BYTES = 1 << 20
_MAX_NUMBER_CHARS = 40


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
