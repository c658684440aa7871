"""Sections of a reasoning: read under their headings, split off, joined in any order."""

import re
from collections.abc import Mapping, Sequence

# Words whose full stop ends no sentence, as they stand before it.
ABBREVIATIONS = frozenset(
    ("e.g", "i.e", "etc", "vs", "cf", "mr", "mrs", "ms", "dr", "prof", "st")
)  # ours
LOOK_BACK = 8  # ours: characters before a full stop, more than an abbreviation has

_HEADING = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)
_END = re.compile(r"\n|[.!?]+[\"'\u201d\u2019)\]]*(?=\s|$)|[\u3002\uff01\uff1f]+")
_LAST_WORD = re.compile(r"[\w.]+$")
_NEXT = re.compile(r"[ \t]*(\S)")


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
