"""Chains of reasoning: taken apart into steps, cut short, and grafted onto.

A step ends where the text itself shows it: before a numbered line or after an empty one; in a text
that has neither, after a sentence. The steps are pieces of the text, white space and all, so that
joining them gives it back.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from synth.recipes.sections import ABBREVIATIONS, LOOK_BACK

MIN_STEP_CHARS = 40  # ours: a shorter sentence is no step of its own, and joins the next one

_NUMBERED = re.compile(r"(?<=\n)(?=[ \t]*(?:step )?\d{1,3}[.):]\s+\S)", re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
# A full stop, perhaps within quotes or brackets, that something new follows.
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]\u201d\u2019]*\s+(?=[\"'(\[\u201c\u2018]?[A-Z0-9])")
# One that ends no sentence: after an abbreviation, an initial, or the number of a list.
_ABBREVIATED = re.compile(rf"\b(?:{'|'.join(map(re.escape, ABBREVIATIONS))}|\w)\.$", re.IGNORECASE)


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
