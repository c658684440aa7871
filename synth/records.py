"""The records of the flow: messages and replies, seeds, items and traces, and their schema.

Their identity is a digest of what they say, never a position or a clock.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypedDict

import pyarrow as pa

# Made once: `json.dumps` would make one for every item of a plan.
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
ID_HEX = 24  # 96 bits: a collision among 10^9 items has a chance of about 10^-11


def digest(*parts: Any) -> str:
    """Return a stable identifier of JSON-serialisable `parts` (24 hex digits).

    Keys are sorted and separators fixed, so equal data give equal digests on every machine.

    Raises:
        TypeError: A part is not JSON data.
        ValueError: A part holds NaN or an infinity, which JSON has no form for.
    """
    return digest_bytes(_ENCODER.encode(parts).encode("utf-8", "surrogatepass"))


def digest_bytes(data: bytes) -> str:
    """Return the identifier of raw bytes (24 hex digits)."""
    return hashlib.sha256(data).hexdigest()[:ID_HEX]


Head = Literal["text", "score"]  # what a model gives for a conversation
Ability = Literal["prefix", "regex", "choice", "json", "logprobs", "keep_stop"]
ABILITIES: frozenset[Ability] = frozenset(
    ("prefix", "regex", "choice", "json", "logprobs", "keep_stop")
)


class Message(TypedDict):
    """One turn.

    A conversation that ends with an `assistant` turn is continued from it. Where that turn is
    empty, a new one is asked for, also after another assistant's: so a guard judges an answer.
    """

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one completion is drawn.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        top_k: Candidates kept; 0 keeps all.
        max_tokens: Upper bound on new tokens.
        stop: Strings that end the text.
        keep_stop: Leave the stop string in the text (ability `keep_stop`).
        regex: The whole text must match it (ability `regex`).
        choice: The whole text must be one of these (ability `choice`).
        json_schema: The text must be JSON of this schema, itself JSON text (ability `json`).
        logprobs: Alternatives a token to report; None reports none (ability `logprobs`).
    """

    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    keep_stop: bool = False
    regex: str | None = None
    choice: tuple[str, ...] | None = None
    json_schema: str | None = None
    logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One completion.

    Attributes:
        text: What the model wrote, without its reasoning where the family marks it.
        reasoning: The marked reasoning, or an empty string.
        finish_reason: `stop`, or `length` where `max_tokens` cut it.
        prompt_tokens: Tokens of the rendered prompt.
        output_tokens: New tokens.
        counted: False where the server told no counts: those above are 0 and mean nothing.
        logprobs: One mapping a new token, token text to log-probability, or None.
        score: The number of a scoring model, which writes no text; None of all others.
    """

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    output_tokens: int = 0
    counted: bool = True
    logprobs: tuple[dict[str, float], ...] | None = None
    score: float | None = None


SCHEMA_VERSION = 1

LABELS = ("harmful", "benign", "borderline")
Cell = tuple[str, str, str]  # recipe, label, category
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


TraceRow = Mapping[str, Any]  # a trace as a row of `TRACES`

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
