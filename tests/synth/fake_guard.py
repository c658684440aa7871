"""A guard without a model: it replies with every verdict of the published corpus in turn."""

import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from synth.chat.scripted import ScriptedChat
from synth.judges.base import UNDETERMINED
from synth.records import Message, Reply, Sampling

CORPUS = Path(__file__).parents[1] / "data" / "verdicts.jsonl"


class Case(NamedTuple):
    """A reply and the verdicts that a reader may come to.

    Attributes:
        parser: The judge that would have replied.
        kind: What is wrong with the reply; `well-formed` where nothing is.
        case: Names it among those of its parser, together with its kind.
        reply: The whole reply.
        allowed: Any other verdict is wrong.
    """

    parser: str
    kind: str
    case: str
    reply: str
    allowed: tuple[str, ...]

    @property
    def malformed(self) -> bool:
        """Whether no verdict at all may be read from it."""
        return self.allowed == (UNDETERMINED,)


def read_corpus() -> list[Case]:
    rows = map(json.loads, CORPUS.read_text(encoding="utf-8").splitlines())
    return [Case(**row | {"allowed": tuple(row["allowed"])}) for row in rows]


def malformed_replies(judge: str) -> list[str]:
    return [case.reply for case in read_corpus() if case.parser == judge and case.malformed]


def fake_guard(judge: str) -> ScriptedChat:
    """Return a chat that gives every malformed reply of `judge`, one a call, over and over."""
    replies = cycle(malformed_replies(judge))

    def script(messages: Sequence[Message], sampling: Sampling) -> Reply:
        return Reply(text=next(replies))  # whole, however short the budget: the worst case

    return ScriptedChat(script)
