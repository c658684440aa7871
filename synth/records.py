"""The two records of the flow, items and traces, and the one Arrow schema traces have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa

from synth.chat import Message
from synth.digest import digest

SCHEMA_VERSION = 1

LABELS = ("harmful", "benign", "borderline")
STUDENT = "student"  # in an item's payload: the trained model that it is planned for


class Outcome(StrEnum):
    """How a try of an item ended."""

    OK = "ok"
    TRUNCATED = "truncated"  # cut by the token limit before it was complete
    UNPARSED = "unparsed"  # complete, but not in the asked form
    INVALID = "invalid"  # can never work: too long, empty
    FAILED = "failed"  # a fault of this row; `retry` plans it again
    INTERRUPTED = "interrupted"  # the worker had to leave; planned again by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """An input prompt.

    Attributes:
        seed_id: Digest of the conversation.
        prompt: The last user turn.
        context: The turns before it (system, earlier user and assistant turns).
        label: One of `LABELS`.
        category: Free text, `uncategorized` where none is given.
        source: Where it came from: `embedded`, or the file's name.
        pair: Key shared by a harmful seed and its benign twin, or None.
    """

    seed_id: str
    prompt: str
    context: tuple[Message, ...] = ()
    label: str
    category: str
    source: str
    pair: str | None = None

    @property
    def messages(self) -> list[Message]:
        """The whole conversation, ending with the user's turn."""
        return [*self.context, Message(role="user", content=self.prompt)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One unit of work: a seed under a guideline set, sample i, at a step of a recipe.

    Attributes:
        seed: The prompt it starts from.
        recipe: The recipe's name.
        step: Index of the step within the recipe.
        guidelines: Name of the guideline set, or an empty string for none.
        sample_index: Which of the repeated samples this is.
        parents: `row_id`s of the traces a later step's item was made from.
        payload: What the step needs beyond the seed (JSON data).
        round: The batch of planning it belongs to.
        attempt: The try: 0 first, one more after `interrupted` or a `retry`.
    """

    seed: Seed
    recipe: str
    step: int = 0
    guidelines: str = ""
    sample_index: int = 0
    parents: tuple[str, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    round: int = 0
    attempt: int = 0

    @property
    def item_id(self) -> str:
        """Digest of what makes this item the item it is, never of a position or a clock."""
        return digest(
            self.seed.seed_id,
            self.guidelines,
            self.recipe,
            self.step,
            self.sample_index,
            self.parents,
            self.payload,
        )

    @property
    def student(self) -> str:
        """The trained model that it is planned for (`synth/rounds.py`); empty for none."""
        return self.payload.get(STUDENT, "")

    @property
    def key(self) -> tuple[str, int]:
        """`(item_id, try)`: the identity of this attempt."""
        return (self.item_id, self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a step of a recipe hands back: facts of its own generation, no judgement.

    Attributes:
        reasoning: The running text of the thought.
        answer: What the user would read.
        raw: The model's text before parsing.
        payload: What the step yields beyond these (JSON data).
        parents: `row_id`s of traces this one was made from.
        outcome: `ok`, or `truncated` / `unparsed` where a step keeps such a text.
        teacher: Name of the model that wrote it, where that is not the step's own: a step that
            judges a text carries it on.
    """

    reasoning: str
    answer: str
    raw: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    outcome: Outcome = Outcome.OK
    teacher: str = ""


TRACES = pa.schema(
    [
        ("row_id", pa.string()),
        ("item_id", pa.string()),
        ("try", pa.int32()),
        ("step", pa.int32()),
        ("trace_index", pa.int32()),
        ("parents", pa.list_(pa.string())),
        ("seed_id", pa.string()),
        ("prompt", pa.string()),
        ("context", pa.string()),  # JSON list of the turns before `prompt`, null for none
        ("label", pa.string()),
        ("category", pa.string()),
        ("source", pa.string()),
        ("pair", pa.string()),
        ("recipe", pa.string()),
        ("guideline_ids", pa.list_(pa.string())),
        ("sample_index", pa.int32()),
        ("round", pa.int32()),
        ("outcome", pa.string()),
        ("error", pa.string()),
        ("reasoning", pa.string()),
        ("answer", pa.string()),
        ("raw", pa.string()),
        ("payload", pa.string()),  # JSON
        ("teacher", pa.string()),
        ("sampling", pa.string()),  # JSON
        ("fingerprint", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("latency_s", pa.float64()),
        ("calls", pa.int32()),
        ("schema_version", pa.int32()),
    ]
)


def row_id(item_id: str, trace_index: int) -> str:
    """Return the identity of a trace: its item and its position within it."""
    return digest(item_id, trace_index)


def pack_context(context: Sequence[Message]) -> str | None:
    """Return the turns before the prompt as JSON, or None where there are none."""
    return json.dumps(list(context), ensure_ascii=False) if context else None


def unpack_context(packed: str | None) -> tuple[Message, ...]:
    """Invert `pack_context`."""
    if packed is None:
        return ()
    return tuple(Message(role=m["role"], content=m["content"]) for m in json.loads(packed))


def seed_of(row: Mapping[str, Any]) -> Seed:
    """Return the seed that a plan's or trace's row carries."""
    return Seed(
        seed_id=row["seed_id"],
        prompt=row["prompt"],
        context=unpack_context(row["context"]),
        label=row["label"],
        category=row["category"],
        source=row["source"],
        pair=row["pair"],
    )
