"""What an attack is, and how a reply to it is read.

A transform knows how to read a reply back (`decode`), and whether a reply can be read at all
is reported beside its verdicts, because a model that can not read a cipher is not thereby
safe (CipherChat's validity). One that can not express a prompt says so with None: such a
prompt is left out and counted, never sent half encoded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import ClassVar

from train.evals.language import looks_like_language, readability

PLAIN = "plain"

Decode = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One way to rephrase a prompt by rule.

    Attributes:
        name: Key in `TRANSFORMS`.
        family: What kind of attack it is; families, not names, must be new to the student.
        version: Raised whenever `apply` writes other text.
        apply: From a prompt to the attacked prompt, or None where it can not express it.
        decode: From a reply to its text in plain language, or None where there is none.
    """

    needs_llm: ClassVar[bool] = False

    name: str
    family: str
    version: int
    apply: Callable[[str], str | None]
    decode: Decode


_PROBES = ("Go on.", "bake a loaf", "Why is the sky so blue in summer and so grey in winter?")


def wording(transform: Transform) -> tuple[str, str]:
    """Return what a transform writes before and after every prompt; both are empty for noise."""
    written = [text for text in map(transform.apply, _PROBES) if text is not None]
    before = _shared_start(written)
    after = _shared_start([text[len(before) :][::-1] for text in written])[::-1]
    return before, after


def _shared_start(texts: Sequence[str]) -> str:
    columns = zip(*texts, strict=False)
    return "".join(first for first, *_ in takewhile(lambda column: len({*column}) == 1, columns))


def plain_reply(reply: str) -> str | None:
    """Return the reply where it reads as language."""
    return reply if looks_like_language(reply) else None


def most_readable(reply: str, decoded: str) -> str | None:
    """Return the reading that is more of a language: the reply as it is, or decoded."""
    best = max((reply, decoded), key=readability)
    return plain_reply(best)


def first_turn(question: str, answer: str) -> Decode:
    """Return the `decode` of a prompt that shows turns: further ones of the model's are cut off.

    Args:
        question: What a question is marked with, such as `Message:`.
        answer: What its answer is marked with, such as `Reply:`.
    """

    def decode(reply: str) -> str | None:
        first = reply.partition(f"\n{question}")[0].rstrip()
        own = first.strip().removeprefix(answer).lstrip() if answer in first else first
        return plain_reply(own) or plain_reply(reply)

    return decode


def mostly_latin(text: str) -> bool:
    """Say whether more than half of the letters are those of the English alphabet."""
    letters = [char for char in text if char.isalpha()]
    return 2 * sum(map(str.isascii, letters)) > len(letters)


def with_rule(rule: str, encode: Callable[[str], str]) -> Callable[[str], str | None]:
    """Return the `apply` of a cipher of English letters: how to read it, then the text."""

    def apply(prompt: str) -> str | None:
        encoded = encode(prompt)
        if encoded == prompt or not mostly_latin(prompt):
            return None
        return f"{rule}\n\n{encoded}"

    return apply
