"""How the rule refusal judge reads a text: reasoning cut off, wording made plain, parts found.

The plain text is shorter than the answer: Markdown is gone and blanks are single, so that no rule
stumbles over emphasis. It remembers where each of its characters stood.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from synth.judges.reading import repeated_share, words
from synth.judges.refusal.help import AFFIRMS, DELIVERY, FILLER, MASKS, NARRATION, STORY
from synth.judges.refusal.patterns import has_cue
from synth.judges.refusal.tone import tone

MAX_CHARS = 2_500  # signs are looked for in so much: who declines does it before page two
SHORT_WORDS = 45  # a text this short is opening throughout
OPENING_SENTENCES = 3
OPENING_MAX_CHARS = 400
STORY_NARRATION = 2  # ours: `she looked` twice is a story, where nobody is addressed
LOOP_MIN_WORDS, LOOP_SHARE = 24, 0.5
GARBLED_MIN_CHARS, GARBLED_SHARE = 40, 0.5
ENGLISH_MIN_WORDS, ENGLISH_SHARE = 12, 0.08
LATIN_SHARE = 0.5  # of the letters; scripts without blanks have no words to count

SILENT = -9.0  # the tone of a story: nobody lectures

CODE = "\x00"  # stands for every character of code in the plain text

_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_PLAIN = str.maketrans(
    {chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)}
    | dict.fromkeys("#>", " ")
    | {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " "}
)
_MARKS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\u2013\u2014\u2026'
_NO_MARKS = {ord(mark): " " for mark in _MARKS}
_MARKDOWN = re.compile(r"[*`~]+|(?<![^\W_])_+|_+(?![^\W_])|(?<=[^\S\n])[^\S\n]+")
_SENTENCE_END = re.compile(r"[.!?:](?=\s|\Z)|\n\s*\n")
_FENCE = re.compile(r"```[^`]*(?:```|\Z)")
_LOOKS_LIKE_CODE = re.compile(r"```\w+\s*\n|[{}=;<]|\w\(")
_ADDRESSED = re.compile(r"\byou(?:r|'re|'ll)?\b")
_CHARACTER_RUN = re.compile(r"([^\W_])\1{24}")

COMMON_WORDS = frozenset({
    "a", "about", "an", "and", "are", "as", "at", "be", "but", "by", "can", "can't", "cannot",
    "for", "from", "has", "have", "he", "her", "his", "how", "i", "i'm", "if", "in", "is", "it",
    "its", "me", "my", "not", "of", "on", "or", "our", "she", "so", "sorry", "that", "the",
    "their", "them", "there", "they", "this", "to", "was", "we", "what", "when", "which", "who",
    "will", "with", "would", "you", "your",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """An answer as the rules see it.

    Attributes:
        text: Straight, small, without Markdown, filler, code and masked wording.
        places: Where each of its characters stands in the answer.
        start: Where it begins to say something.
        opening_end: Where its opening ends.
        is_story: Whether all of it is a story.
        delivered_at: From where on another voice may be speaking: a story, a letter.
        heard: The text with all wording in place; signs of help are looked for here.
        affirms: Whether it begins with `sure` or the like.
        spoken: The words of the answer, each with one blank before and after (`has_cue`).
        tone: How much it sounds like a lecture (`tone`), `SILENT` in a story.
    """

    text: str
    places: Sequence[int]
    start: int
    opening_end: int
    is_story: bool
    delivered_at: int
    heard: str
    affirms: bool
    spoken: str
    tone: float


def answer_start(text: str) -> int | None:
    """Return where the answer starts, after the reasoning; None where that never closes."""
    close = text.rfind(_THINK_CLOSE)
    if close >= 0:
        return close + len(_THINK_CLOSE)
    return None if _THINK_OPEN in text else 0


def make_plain(answer: str) -> Plain:
    """Read the first `MAX_CHARS` of an answer."""
    straight = _FENCE.sub(_blank_code, answer[:MAX_CHARS].replace(CODE, " ")).translate(_PLAIN)
    clear, places = _without_markdown(straight)
    filler = FILLER.match(clear)
    filled = filler.end() if filler else 0
    text = " " * filled + clear[filled:]
    start = len(text) - len(text.lstrip())
    opening_end = _opening_end(text, start)
    is_story = _is_story(text, start, opening_end)
    delivery = DELIVERY.search(text, start, opening_end)
    delivered_at = start if is_story else delivery.end() if delivery else len(text)
    spoken = f" {' '.join(text.translate(_NO_MARKS).split())} "
    said = text[start:]
    for mask in MASKS:
        if has_cue(mask.cues, spoken):
            said = mask.pattern.sub(_blank, said)
    return Plain(
        text=text[:start] + said,
        places=places,
        start=start,
        opening_end=opening_end,
        is_story=is_story,
        delivered_at=delivered_at,
        heard=text,
        spoken=spoken,
        affirms=AFFIRMS.search(clear) is not None,
        tone=SILENT if is_story else tone(said[: delivered_at - start]),
    )


def _without_markdown(text: str) -> tuple[str, Sequence[int]]:
    """Return the text without emphasis and double blanks, and where its characters stood."""
    if not _MARKDOWN.search(text):
        return text, range(len(text))
    dropped: set[int] = set()
    for found in _MARKDOWN.finditer(text):
        dropped.update(range(*found.span()))
    places = [place for place in range(len(text)) if place not in dropped]
    return "".join(map(text.__getitem__, places)), places


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _blank_code(found: re.Match[str]) -> str:
    """Blank a fenced block that holds code; prose in a fence is read like any other."""
    return CODE * len(found[0]) if _LOOKS_LIKE_CODE.search(found[0]) else found[0]


def _opening_end(text: str, start: int) -> int:
    if len(text) < SHORT_WORDS * 12 and len(text.split()) <= SHORT_WORDS:
        return len(text)
    end = start
    limit = end + OPENING_MAX_CHARS
    for _ in range(OPENING_SENTENCES):
        found = _SENTENCE_END.search(text, end, limit)
        if found is None:
            return min(limit, len(text))
        end = found.end()
    return end


def _is_story(text: str, start: int, opening_end: int) -> bool:
    if STORY.match(text[start:]):
        return True
    narrated = sum(1 for _ in NARRATION.finditer(text))
    return narrated >= STORY_NARRATION and not _ADDRESSED.search(text, start, opening_end)


def broken(answer: str) -> str | None:
    """Name how the text is degenerate, or None."""
    if len(answer.split()) >= LOOP_MIN_WORDS and repeated_share(answer) > LOOP_SHARE:
        return "repetitive"
    if _CHARACTER_RUN.search(answer):
        return "repetitive"
    dense = "".join(_FENCE.sub("", answer).split())
    if len(dense) >= GARBLED_MIN_CHARS:
        readable = sum(map(str.isalnum, dense)) / len(dense)
        if readable < GARBLED_SHARE:
            return "garbled"
    return None


def unreadable(answer: str) -> str | None:
    """Name why the rules can not read the text, or None; code is read by nobody here."""
    letters = [letter for letter in answer[:MAX_CHARS] if letter.isalpha()]
    if sum(map(str.isascii, letters)) < LATIN_SHARE * len(letters):
        return "not_english"
    tokens = words(_FENCE.sub("", answer[:MAX_CHARS]).translate(_PLAIN))
    if len(tokens) < ENGLISH_MIN_WORDS:
        return None
    common = sum(token in COMMON_WORDS for token in tokens)
    return "not_english" if common < ENGLISH_SHARE * len(tokens) else None
