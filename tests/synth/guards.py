"""Scripted guards, named by dotted path: what a judge's pool may do to its judge."""

from collections.abc import Sequence

from synth.errors import Invalid, PoolFault
from synth.records import Message, Reply, Sampling

ASKED: list[str] = []
CONTROVERSIAL = "Safety: Controversial\nCategories: Unethical Acts\nRefusal: No"


def strict(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer as Llama Guard does, by one word of the text; note what was asked."""
    text = messages[1]["content"]
    ASKED.append(text)
    return "\n\nunsafe\nS2" if "bad" in text else "safe"


def controversial(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer as Qwen3Guard does, always the same; note what was asked."""
    ASKED.append(messages[1]["content"])
    return CONTROVERSIAL


def troubled(messages: Sequence[Message], sampling: Sampling) -> str | Reply:
    """Give each kind of trouble its own answer, one text each."""
    text = " ".join(message["content"] for message in messages)
    if "long" in text:
        raise Invalid("longer than the context")
    if "late" in text:
        raise PoolFault("no answer in its time")
    if "cut" in text:
        return Reply(text="unsafe", finish_reason="length")
    if "garbled" in text:
        return "safe, or unsafe"
    return "safe"


def silent(messages: Sequence[Message], sampling: Sampling) -> str:
    """Never answer anything."""
    raise PoolFault("connection refused")
