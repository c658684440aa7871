"""From one row of a file to a seed, every rule checked and every error naming its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeGuard

from synth.config.schema import SeedsConfig
from synth.errors import BadInput
from synth.records import LABELS, Message, Seed, digest
from synth.seeds.files import MAX_LINE_BYTES, FileRow

COLUMNS = ("prompt", "messages", "id", "label", "category", "system", "pair")
UNCATEGORIZED = "uncategorized"


def file_names(config: SeedsConfig) -> dict[str, str]:
    """Map our column names to the file's.

    Where just one of `prompt` and `messages` is mapped, the other is not looked at.

    Raises:
        BadInput: The configuration maps a column we do not know.
    """
    unknown = sorted(set(config.columns) - set(COLUMNS))
    if unknown:
        rule = f"must be one of {', '.join(COLUMNS)}"
        raise BadInput(file=config.path, field="seeds.columns", value=unknown[0], rule=rule)
    conversation = {"prompt", "messages"}
    mapped = conversation & config.columns.keys()
    unread = conversation - mapped if mapped else set()
    return {ours: config.columns.get(ours, ours) for ours in COLUMNS if ours not in unread}


@dataclass(frozen=True, slots=True)
class SeedRow:
    """A row of a seeds file, each cell checked as it is read.

    Attributes:
        config: What names the file.
        names: Our column names to the file's.
        row: The row as the file holds it.
    """

    config: SeedsConfig
    names: Mapping[str, str]
    row: FileRow

    def error(self, column: str, value: object, rule: str) -> BadInput:
        """Return the error of a broken rule, to be raised."""
        field = f"{self.row.place}: {self.names[column]}"
        return BadInput(file=self.config.path, field=field, value=value, rule=rule)

    def check_id(self, places: dict[str, str]) -> None:
        """Record the row's id in `places`, where it has one that no earlier row had."""
        key = self._key("id")
        if key is None:
            return
        first = places.setdefault(key, self.row.place)
        if first != self.row.place:
            raise self.error("id", key, f"must be unique, and is the id of {first}")

    def seed(self) -> Seed:
        """Return the seed the row describes.

        Raises:
            BadInput: A cell breaks a rule.
        """
        *context, last = self._conversation()
        category = self._value("category")
        return Seed(
            seed_id=digest([*context, last]),
            prompt=last["content"],
            context=tuple(context),
            label=self._label(),
            category=UNCATEGORIZED if category is None else self._text("category", category),
            source=PurePath(self.config.path).name,
            pair=self._key("pair"),
        )

    def _conversation(self) -> list[Message]:
        prompt, messages, system = map(self._value, ("prompt", "messages", "system"))
        if prompt is not None and messages is not None:
            rule = "must not stand beside messages: map one of them in seeds.columns"
            raise self.error("prompt", prompt, rule)
        if messages is not None:
            turns = self._turns(messages)
        elif prompt is not None:
            turns = [Message(role="user", content=self._text("prompt", prompt))]
        else:
            column = "prompt" if "prompt" in self.names else "messages"
            raise self.error(column, self._absent(column), "must hold a prompt")
        if system is None:
            return turns
        if turns[0]["role"] == "system":
            raise self.error("system", system, "must not stand beside a system turn in messages")
        return [Message(role="system", content=self._text("system", system)), *turns]

    def _turns(self, messages: object) -> list[Message]:
        if not (isinstance(messages, list) and messages and all(map(_is_turn, messages))):
            rule = "must be a list of {role, content} with the roles system, user and assistant"
            raise self.error("messages", messages, rule)
        if messages[-1]["role"] != "user":
            raise self.error("messages", messages[-1]["role"], "must end with a user turn")
        if any(turn["role"] == "system" for turn in messages[1:]):
            raise self.error("messages", "system", "must have a system turn first or not at all")
        return [
            Message(role=turn["role"], content=self._text("messages", turn.get("content")))
            for turn in messages
        ]

    def _label(self) -> str:
        label, default = self._value("label"), self.config.label
        if label is None:
            label = default
        if label is None:
            rule = f"must be one of {', '.join(LABELS)}, or seeds.label must say it for all rows"
            raise self.error("label", self._absent("label"), rule)
        if label not in LABELS:
            raise self.error("label", label, f"must be one of {', '.join(LABELS)}")
        if default is not None and label != default:
            raise self.error("label", label, f"must be {default}, as seeds.label says")
        return label

    def _key(self, column: str) -> str | None:
        value = self._value(column)
        if value is None:
            return None
        return str(value) if type(value) is int else self._text(column, value)

    def _text(self, column: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.error(column, value, "must be text")
        if not value.strip():
            raise self.error(column, value, "must not be blank")
        try:
            num_bytes = len(value.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise self.error(column, value[error.start], "must be valid Unicode") from error
        if num_bytes > MAX_LINE_BYTES:
            rule = f"must be at most {MAX_LINE_BYTES} bytes"
            raise self.error(column, f"{num_bytes} bytes", rule)
        return value

    def _value(self, column: str) -> Any:
        """Return the row's value; None where there is none, or an empty text."""
        value = self.row.cells.get(self.names[column]) if column in self.names else None
        return None if value == "" else value

    def _absent(self, column: str) -> str | None:
        """Return what to show for a value that is not there."""
        if self.names[column] in self.row.cells:
            return None
        return f"no such column beside {', '.join(self.row.cells)}"


def _is_turn(turn: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(turn, dict) and turn.get("role") in ("system", "user", "assistant")
