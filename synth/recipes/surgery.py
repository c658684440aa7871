"""Surgery on traces: taking texts apart into sections, steps and sentences, and joining them.

A step of a plain reasoning ends where the text itself shows it: before a numbered line or after
an empty one; in a text that has neither, after a sentence. The steps are pieces of the text, white
space and all, so that joining them gives it back.

The `steps` format (STAIR, arXiv 2502.02384, its structured CoT format) marks them: a reasoning is
a row of marked steps and then a marked answer. A student of this format has the marks in its
vocabulary, one token each: so a step ends where a token says so, a search can stop there, and its
text can be joined again without loss.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from synth.models.families import (
    FAMILIES,
    OUTPUT_CLOSE,
    OUTPUT_OPEN,
    STEP_CLOSE,
    STEP_OPEN,
    STEP_TOKENS,
    THINK_CLOSE,
    THINK_OPEN,
    ParsedText,
    split_reasoning,
)
from synth.records import Reply

VERSION = 1  # raised by hand when a change would alter the text of a row

# Words whose full stop ends no sentence, as they stand before it.
ABBREVIATIONS = frozenset(
    ("e.g", "i.e", "etc", "vs", "cf", "mr", "mrs", "ms", "dr", "prof", "st")
)  # ours
LOOK_BACK = 8  # ours: characters before a full stop, more than an abbreviation has

_HEADING = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)
_END = re.compile(r"\n|[.!?]+[\"'\u201d\u2019)\]]*(?=\s|$)|[\u3002\uff01\uff1f]+")
_LAST_WORD = re.compile(r"[\w.]+$")
_NEXT = re.compile(r"[ \t]*(\S)")

MIN_STEP_CHARS = 40  # ours: a shorter sentence is no step of its own, and joins the next one

_NUMBERED = re.compile(r"(?<=\n)(?=[ \t]*(?:step )?\d{1,3}[.):]\s+\S)", re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
# A full stop, perhaps within quotes or brackets, that something new follows.
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]\u201d\u2019]*\s+(?=[\"'(\[\u201c\u2018]?[A-Z0-9])")
# One that ends no sentence: after an abbreviation, an initial, or the number of a list.
_ABBREVIATED = re.compile(rf"\b(?:{'|'.join(map(re.escape, ABBREVIATIONS))}|\w)\.$", re.IGNORECASE)

_MARKS = re.compile("|".join(map(re.escape, STEP_TOKENS)))
_LETTERS = dict(zip(STEP_TOKENS, "SsOo", strict=True))  # ours: one letter a mark, for `_ORDER`
_ORDER = re.compile("(Ss)*(S|Oo?)?")


def join_sections(sections: Mapping[str, str], order: Sequence[str]) -> str:
    """Return the named sections in that order, one space between them; blank ones are left out.

    Raises:
        KeyError: There is no section of a name.
    """
    return " ".join(text for name in order if (text := sections[name].strip()))


def split_headed(text: str) -> dict[str, str] | None:
    """Return the texts under the headings `## Name`, stripped, in their order.

    None where a text is empty, something stands before the first heading, or a name twice.
    """
    before, *parts = _HEADING.split(text.strip())
    names, bodies = parts[::2], [body.strip() for body in parts[1::2]]
    if before or not names or not all(bodies) or len(set(names)) < len(names):
        return None
    return dict(zip(names, bodies, strict=True))


def first_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence and the rest, both stripped; a line's end ends a sentence.

    Nothing is lost between them but white space. A full stop after an abbreviation or an
    initial, or before a small letter, ends none.
    """
    text = text.strip()
    ends = (match.end() for match in _END.finditer(text) if _ends_sentence(text, match))
    end = next(ends, len(text))
    return text[:end].strip(), text[end:].strip()


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    if match[0] == "\n":
        return True
    following = _NEXT.match(text, match.end())
    if following is not None and following[1].islower():
        return False
    word = _LAST_WORD.search(text, max(0, match.start() - LOOK_BACK), match.start())
    if match[0] != "." or word is None:
        return True
    return word[0].lower() not in ABBREVIATIONS and not (len(word[0]) == 1 and word[0].isupper())


def split_steps(text: str) -> list[str]:
    """Return the steps of a chain, in order; none where it is blank.

    Each holds the white space that follows it: `"".join` gives the text back.
    """
    if not text.strip():
        return []
    ends = {match.end() for mark in (_NUMBERED, _PARAGRAPH) for match in mark.finditer(text)}
    steps = _pieces(text, ends)
    return steps if len(steps) > 1 else _sentences(text)


def keep_steps(text: str, count: int) -> str:
    """Return the first `count` steps of a chain, without the white space after them.

    Raises:
        ValueError: It has fewer.
    """
    steps = split_steps(text)
    if not 0 <= count <= len(steps):
        raise ValueError(f"{count} steps of a chain that has {len(steps)}")
    return "".join(steps[:count]).rstrip()


def graft(prefix: str, reflection: str, ending: str) -> str:
    """Return a chain that turns: its first steps, a reflection, and a new ending.

    Each begins a paragraph, so that a reader, and `split_steps`, can find where it turns.
    """
    return "\n\n".join(part.strip() for part in (prefix, reflection, ending) if part.strip())


def positions(num_steps: int, shares: Sequence[float]) -> list[int]:
    """Return after how many steps a chain is to be cut: the given shares of it, rounded.

    Every cut keeps at least one step; equal ones count once.
    """
    return sorted({max(1, round(share * num_steps)) for share in shares if num_steps})


def _sentences(text: str) -> list[str]:
    """Split at sentences; too short ones go on into the next, and the last into the one before."""
    ends, start, last = list[int](), 0, len(text.rstrip())
    for match in _SENTENCE.finditer(text):
        shortest = min(match.start() - start, last - match.end())
        near = max(start, match.start() - LOOK_BACK)
        if shortest >= MIN_STEP_CHARS and not _ABBREVIATED.search(text, near, match.start()):
            start = match.end()
            ends.append(start)
    return _pieces(text, ends)


def _pieces(text: str, ends: Sequence[int] | set[int]) -> list[str]:
    """Cut at `ends`; a piece of white space alone belongs to the one before, or to the next."""
    pieces: list[str] = []
    for start, end in pairwise(sorted({0, *ends, len(text)})):
        piece = text[start:end]
        if pieces and not (piece.strip() and pieces[-1].strip()):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


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


def completion_text(format: str, reasoning: str, answer: str) -> str:
    """Return the whole text of a turn.

    Args:
        format: Of the recipe, `think` or `answer`; marked steps are kept as they were written,
            and never made of these two parts.
        reasoning: The thought; left out by `answer`.
        answer: What the user would read.

    Raises:
        ValueError: The format is another one.
    """
    if format == "think":
        return f"{THINK_OPEN}\n{reasoning}\n{THINK_CLOSE}\n\n{answer}"
    if format == "answer":
        return answer
    raise ValueError(f"no completion is made of two parts in the format {format!r}")


def take_apart(reply: Reply) -> ParsedText:
    """Return the parts of a student's reply, whether or not its door has split them already."""
    if reply.reasoning:
        return ParsedText(reply.reasoning, reply.text, closed=bool(reply.text.strip()))
    return split_reasoning(reply.text, FAMILIES["generic"])


def is_whole(parts: ParsedText) -> bool:
    """Say whether a reply has both parts and no stray tag; one left open has no answer."""
    tags = (THINK_OPEN, THINK_CLOSE)
    both = (parts.reasoning, parts.answer)
    return all(part.strip() and not any(tag in part for tag in tags) for part in both)
