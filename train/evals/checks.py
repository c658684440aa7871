"""Whether an answer is right, told from its text alone: one function a kind of question.

Models wrap what they were asked for: in a sentence, in Markdown, in quotes. The checks look
past that and no further: where a text names two choices, it has named none.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby

from synth.judges.words import words

Check = Callable[[str, Sequence[str]], bool]

_MARKDOWN = re.compile(r"[*_`#>~]")
_STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d\u2212", "''\"\"-")
_LIST_MARK = re.compile(r"^[ \t]*(?:[-+\u2022]|\d+[.)])[ \t]+(?=\S)", re.MULTILINE)
_NUMBER = r"(?<![\w.])-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?"
_ANY_NUMBER = re.compile(f"({_NUMBER})")
_STATED_NUMBER = re.compile(rf"(?:\banswer(?: is)?:?|=)[^\w\n-]*({_NUMBER})", re.IGNORECASE)
_STATED_CHOICE = re.compile(r"\b(?i:answer|option|choice)(?: is)?:?[ \t]*\(?([A-Z])\b")
_OPTION = re.compile(r"^([A-Z])\) (.+)$", re.MULTILINE)
_MARKED = re.compile(r"(?<!\w)([A-Z])(?:[).:]|\s*\Z)")
_LONE = re.compile(r"\W*([A-Za-z])\W*")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|(?<!\w)'([^\n]+?)'(?!\w)")

_UNIT_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS, _TENS = _UNIT_WORDS.split(), _TEN_WORDS.split()
_IN_WORDS: Mapping[str, int] = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}


def plain(text: str) -> str:
    """Return `text` with straight quotes and without Markdown."""
    return _MARKDOWN.sub(" ", text.translate(_STRAIGHT)).strip()


def normal(text: str) -> str:
    """Return the words of `text` in lower case, one space between them."""
    return " ".join(words(plain(text)))


def stated_number(text: str) -> Decimal | None:
    """Return the number that `text` gives as its answer, else its last one, else None.

    Numbers in words, up to ninety-nine, count where there are no digits.
    """
    text = plain(text)
    for pattern in (_STATED_NUMBER, _ANY_NUMBER):
        if found := pattern.findall(text):
            return Decimal(found[-1].replace(",", ""))
    return _number_in_words(text)


def chosen(text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter that `text` chooses; None where it chooses none, or several.

    Args:
        text: The answer.
        options: Letter to what stands behind it.
    """
    text = plain(text)
    if alone := _LONE.fullmatch(text):
        return alone[1].upper() if alone[1].upper() in options else None
    stated = [letter for letter in _STATED_CHOICE.findall(text) if letter in options]
    marked = [letter for letter in _MARKED.findall(text) if letter in options]
    words_of_it = f" {normal(text)} "
    named = [letter for letter, said in options.items() if f" {normal(said)} " in words_of_it]
    for letters in (stated[-1:], marked, named):
        if letters:
            return letters[0] if len(set(letters)) == 1 else None
    return None


def options_of(prompt: str) -> dict[str, str]:
    """Return the options that a multiple-choice prompt lists, by letter."""
    return dict(_OPTION.findall(prompt))


def is_number(text: str, answer: Sequence[str]) -> bool:
    """Say whether `text` gives this number."""
    return stated_number(text) == Decimal(answer[0])


def has_phrase(text: str, answer: Sequence[str]) -> bool:
    """Say whether one of these phrases stands in `text`, in any case."""
    said = f" {normal(text)} "
    return any(f" {normal(phrase)} " in said for phrase in answer)


def has_all(text: str, answer: Sequence[str]) -> bool:
    """Say whether all of these phrases stand in `text`."""
    return all(has_phrase(text, [phrase]) for phrase in answer)


def is_exactly(text: str, answer: Sequence[str]) -> bool:
    """Say whether `text`, or what it announces or quotes, is one of these, case included."""
    wanted = {_bare(each) for each in answer}
    return any(_bare(part) in wanted for part in _parts(plain(text)))


def is_in_order(text: str, answer: Sequence[str]) -> bool:
    """Say whether the last list of these words in `text` has each of them once, in this order."""
    wanted = [normal(each) for each in answer]
    said = (word for word in normal(_LIST_MARK.sub("", text)).split() if word != "and")
    runs = [list(run) for is_listed, run in groupby(said, wanted.__contains__) if is_listed]
    lists = [run for run in runs if len(run) >= len(wanted)]
    return lists[-1:] == [wanted]


def has_num_words(text: str, answer: Sequence[str]) -> bool:
    """Say whether `text` has so many words, and one of the phrases that follow, if any do."""
    num_words, *phrases = answer
    return len(normal(text).split()) == int(num_words) and _has_any(text, phrases)


def has_at_most(text: str, answer: Sequence[str]) -> bool:
    """Say whether `text` has no more words than that, and one of the phrases that follow."""
    num_words, *phrases = answer
    return 0 < len(normal(text).split()) <= int(num_words) and _has_any(text, phrases)


def has_num_lines(text: str, answer: Sequence[str]) -> bool:
    """Say whether `text` has so many lines with words on them."""
    return sum(bool(words(line)) for line in plain(text).splitlines()) == int(answer[0])


def starts_with(text: str, answer: Sequence[str]) -> bool:
    """Say whether the first word is this one."""
    return normal(text).split()[:1] == [answer[0]]


def ends_with(text: str, answer: Sequence[str]) -> bool:
    """Say whether the last word is this one."""
    return normal(text).split()[-1:] == [answer[0]]


def is_lowercase(text: str, answer: Sequence[str]) -> bool:
    """Say whether all letters are small, and one of the phrases stands there."""
    return text.islower() and _has_any(text, answer)


def is_uppercase(text: str, answer: Sequence[str]) -> bool:
    """Say whether all letters are capitals, and one of the phrases stands there."""
    return text.isupper() and _has_any(text, answer)


CHECKS: Mapping[str, Check] = {
    "number": is_number,
    "phrase": has_phrase,
    "contains": has_all,
    "exact": is_exactly,
    "order": is_in_order,
    "words": has_num_words,
    "at_most": has_at_most,
    "lines": has_num_lines,
    "starts": starts_with,
    "ends": ends_with,
    "lowercase": is_lowercase,
    "uppercase": is_uppercase,
}


def _has_any(text: str, phrases: Sequence[str]) -> bool:
    return not phrases or has_phrase(text, phrases)


def _parts(text: str) -> list[str]:
    """Return what may be meant: the whole, each line, what follows a colon, what is quoted."""
    lines = [line for line in text.splitlines() if line.strip()]
    tails = [line.rpartition(": ")[2] for line in lines]
    quoted = [double or single for double, single in _QUOTED.findall(text)]
    return [text, *lines, *tails, *quoted]


def _bare(text: str) -> str:
    return " ".join(text.split()).strip("\"' .!")


def _number_in_words(text: str) -> Decimal | None:
    value = None
    before = ""
    for word in words(text):
        if word in _IN_WORDS:
            joins = before in _TENS and 0 < _IN_WORDS[word] < 10
            value = _IN_WORDS[word] + (_IN_WORDS[before] if joins else 0)
        before = word
    return None if value is None else Decimal(value)
