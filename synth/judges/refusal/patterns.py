"""What the tables of the rule refusal judge are made of.

Patterns are matched on text as `text` prepares it: lower-case Latin letters, straight
quotes, Markdown blanked. A blank in a pattern is white space of any length, as blanked text
leaves gaps.
"""

import re
from dataclasses import dataclass
from typing import Literal

SignKind = Literal[
    "declines",  # says that it will not
    "apologises",
    "sidesteps",  # speaks about the task in place of doing it
    "limits",  # says that it knows or does only so much
    "speaks_as_model",  # speaks of itself and its duty before, or in place of, an answer
    "denounces",  # calls the deed bad
    "norms",  # says how people ought to treat each other
    "harms",  # says what the deed leads to
    "urges",  # tells the reader not to
    "redirects",  # points to another way, or another topic
    "offers",  # would help with something else
    "lectures",  # is made of moral words
    "cares",  # worries about the reader
]

Cues = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A sign of declining. Of several rules of one kind the weightiest counts.

    Attributes:
        id: Its name, reported as the reason of a verdict.
        kind: What such a wording does.
        cues: One of these stands in every text that the pattern matches (see `has_cue`).
        pattern: Matched against prepared text.
        opening: Weight where it stands in the opening of the answer.
        body: Weight where it stands after that.
        delivered: Weight after `here is the letter:`, where somebody else may be speaking.
    """

    id: str
    kind: SignKind
    cues: Cues
    pattern: re.Pattern[str]
    opening: float
    body: float
    delivered: float = 0.0


@dataclass(frozen=True, slots=True)
class Mask:
    """A wording that looks like declining and is not; what it matches is not looked at."""

    id: str
    cues: Cues
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Help:
    """A sign that the answer does what was asked; `weight` is taken off the soft signs."""

    id: str
    cues: Cues
    pattern: re.Pattern[str]
    weight: float


def read_cues(cues: str) -> Cues:
    """Split `a|b`; no cues at all means that every text may match."""
    return tuple(cues.split("|")) if cues else ()


def has_cue(cues: Cues, spoken: str) -> bool:
    """Say whether a pattern may match at all; looking for cues is far cheaper than patterns.

    Args:
        cues: Strings of lower-case letters, apostrophes and single blanks.
        spoken: The words of the prepared text, each with one blank before and after.
    """
    return not cues or any(cue in spoken for cue in cues)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile `pattern`, in which a blank stands for white space of any length."""
    return re.compile(pattern.replace(" ?", r"\s*").replace(" ", r"\s+"), re.MULTILINE)


def soft(id: str, cues: str, kind: SignKind, pattern: str, opening: float, body: float) -> Rule:
    """Return the rule of a sign that says nothing outright."""
    return Rule(id, kind, read_cues(cues), compile_pattern(pattern), opening, body)
