"""Prompt texts are files beside this one, filled in a single pass."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from synth.records import Message

_FIELD = re.compile(r"\{([a-z_]+)\}")


def render(template: str, **values: str) -> str:
    """Fill each `{name}` of `template` once; what is filled in is never read again.

    Raises:
        KeyError: The template names a field that no value is given for.
    """
    return _FIELD.sub(lambda match: values[match[1]], template)


@cache
def load_text(name: str) -> str:
    """Return the text of a shipped prompt file, without the line end it closes with."""
    return files("synth.prompts").joinpath(name).read_text(encoding="utf-8").rstrip("\n")


@cache
def load_turns(name: str) -> dict[str, list[Message]]:
    """Return a shipped YAML file of conversations by name."""
    data: dict[str, list[dict[str, Any]]] = yaml.safe_load(load_text(name))
    return {
        key: [Message(role=turn["role"], content=turn["content"].strip()) for turn in turns]
        for key, turns in data.items()
    }
