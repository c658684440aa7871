"""The doors to models: `Chat`, one async call, one completion; `Score`, one call, one number.

`engine`, `endpoint` and `scripted` beside this file implement the first, and hand a scoring
model's number on in its reply; recipes and judges see nothing wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

__all__ = ["ABILITIES", "Ability", "Chat", "Head", "Message", "Reply", "Sampling", "Score"]

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


class Chat(Protocol):
    """A model that completes conversations."""

    @property
    def can(self) -> frozenset[Ability]:
        """What it can do beyond plain completion."""
        ...

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`.

        Raises:
            PoolFault: The pool is unwell; the same call may go again.
            RowFault: This request can not be answered.
        """
        ...


class Score(Protocol):
    """A model that makes a number of a conversation, such as a process reward model."""

    async def score(self, messages: Sequence[Message]) -> float:
        """Score `messages`: the raw output of the model's head, of no fixed range.

        A conversation that ends with an `assistant` turn is scored up to that turn's last
        character, as a turn that might still go on.

        Raises:
            PoolFault: The pool is unwell; the same call may go again.
            RowFault: This conversation can not be scored.
        """
        ...
