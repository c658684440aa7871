"""Marked steps: the `steps` format (STAIR, arXiv 2502.02384, its structured CoT format).

A reasoning is a row of marked steps and then a marked answer. A student of this format has the
marks in its vocabulary, one token each: so a step ends where a token says so, a search can stop
there, and its text can be joined again without loss.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from synth.models.families import OUTPUT_CLOSE, OUTPUT_OPEN, STEP_CLOSE, STEP_OPEN, STEP_TOKENS

_MARKS = re.compile("|".join(map(re.escape, STEP_TOKENS)))
_LETTERS = dict(zip(STEP_TOKENS, "SsOo", strict=True))  # ours: one letter a mark, for `_ORDER`
_ORDER = re.compile("(Ss)*(S|Oo?)?")


class Stepped(NamedTuple):
    """A text of this format, taken apart.

    `complete` is False where it breaks off: then its last step, or its answer, is as far as it
    went, and a missing answer is empty.
    """

    steps: tuple[str, ...]
    answer: str
    complete: bool


def write_steps(steps: Iterable[str], answer: str) -> str:
    """Return the completion that has these steps and this answer.

    Raises:
        ValueError: A text is blank, or holds a mark.
    """
    parts = [_marked(STEP_OPEN, step, STEP_CLOSE) for step in steps]
    return "\n\n".join([*parts, _marked(OUTPUT_OPEN, answer, OUTPUT_CLOSE)])


def parse_steps(text: str) -> Stepped | None:
    """Take a completion apart; None where it is not of this format.

    It is not where text stands outside the marks, marks are out of order, or a closed part says
    nothing.
    """
    before, *rest = _MARKS.split(text)
    marks = _MARKS.findall(text)
    bodies = [body.strip() for body in rest]
    letters = "".join(_LETTERS[mark] for mark in marks)
    if before.strip() or not marks or _ORDER.fullmatch(letters) is None:
        return None
    closed = bodies if letters[-1] in "so" else bodies[:-1]
    said = [bool(body) == (letter in "SO") for letter, body in zip(letters, closed, strict=False)]
    if not all(said):
        return None
    parts = list(zip(marks, bodies, strict=True))
    steps = tuple(body for mark, body in parts if mark == STEP_OPEN and body)
    answer = "".join(body for mark, body in parts if mark == OUTPUT_OPEN)
    return Stepped(steps, answer, letters.endswith("o"))


def is_terminal(step_text: str) -> bool:
    """Say whether a step closes the answer: nothing follows it."""
    return OUTPUT_CLOSE in step_text


def final_answer(text: str) -> str:
    """Return the answer of a text in any state: what stands after the last mark that opens it.

    So the released code reads it. In a text that breaks off before its answer this is the last
    step as far as it went.
    """
    _, _, tail = text.rpartition(STEP_CLOSE)
    _, _, answer = tail.rpartition(OUTPUT_OPEN)
    return without_marks(answer.partition(OUTPUT_CLOSE)[0]).strip()


def reasoning_text(steps: Iterable[str]) -> str:
    """Return the steps as running text, without marks."""
    return "\n\n".join(step.strip() for step in steps)


def without_marks(text: str) -> str:
    """Return `text` with every mark taken out, also such as only appear by taking one out."""
    while _MARKS.search(text):
        text = _MARKS.sub("", text)
    return text


def _marked(opening: str, text: str, closing: str) -> str:
    body = text.strip()
    if not body:
        raise ValueError("a step or an answer is blank")
    if (mark := _MARKS.search(text)) is not None:
        raise ValueError(f"a step or an answer holds the mark {mark[0]}")
    return f"{opening}\n{body}\n{closing}"
