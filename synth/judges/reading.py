"""What all verdict parsers share: a reply is read whole, or there is no verdict.

Nothing is searched for. A parser takes the answer that stands after the model's reasoning and
has to account for every line of it; any doubt (a word too many, two verdicts, a mark of a model's
own format inside the answer) is raised here and becomes `undetermined` with its name.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any

from synth.judges.base import Verdict, undetermined
from synth.models.families import THINK_CLOSE, THINK_OPEN

VERSION = 1  # raised by hand when a reply would be read otherwise

WORD = re.compile(r"\w+(?:['\u2019]\w+)*")

REPEAT_NGRAM = 4  # ours: long enough that idioms do not count, short enough to see loops

# How gpt-oss marks its channels (harmony). Engines leave control tokens out of a text, and then
# only the words between them are left, run together with what follows.
_ANALYSIS = "<|channel|>analysis<|message|>"
_FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"
_FINAL_ALONE = "<|channel|>final<|message|>"
_RETURN = "<|return|>"
_BARE_ANALYSIS, _BARE_FINAL = "analysis", "assistantfinal"

_MARK = re.compile(r"</?think|<\|", re.IGNORECASE)
_CODE_FENCE = re.compile(r"```(?:json)?[ \t]*\r?\n(.*)\n[ \t]*```", re.DOTALL)


def words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without punctuation."""
    return WORD.findall(text.lower())


def ngrams(tokens: list[str], size: int) -> list[tuple[str, ...]]:
    """Return the runs of `size` neighbouring tokens, none where there are fewer."""
    return list(zip(*(tokens[start:] for start in range(size)), strict=False))


def repeated_share(text: str) -> float:
    """Return the share of 4-grams of words in `text` that stood there before, in [0, 1]."""
    grams = ngrams(words(text), REPEAT_NGRAM)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


class Doubt(Exception):
    """A reply can not be read without doubt; the text is the reason."""


def reads_answer(parse: Callable[[str], Verdict]) -> Callable[[str], Verdict]:
    """Make a parser of whole replies from one of answers that may raise `Doubt`."""

    @wraps(parse)
    def whole(reply: str) -> Verdict:
        try:
            return parse(answer_of(reply))
        except Doubt as doubt:
            return undetermined(str(doubt))

    return whole


def answer_of(reply: str) -> str:
    """Return the answer of a reply, stripped, without the reasoning before it.

    Raises:
        Doubt: The reasoning never ends, marks of it stand in the answer, or there is no answer.
    """
    answer = _after_think(_after_analysis(reply.strip()))
    if not answer:
        raise Doubt("empty")
    if _MARK.search(answer):
        raise Doubt("stray mark")
    return answer


def _after_analysis(text: str) -> str:
    """Return what stands in harmony's final channel; the whole text of other formats."""
    if text.startswith(_FINAL_ALONE):
        return text.removeprefix(_FINAL_ALONE).removesuffix(_RETURN).strip()
    if text.startswith(_ANALYSIS):
        return _after(text, _FINAL).removesuffix(_RETURN).strip()
    if text.startswith(_BARE_ANALYSIS):
        return _after(text, _BARE_FINAL)
    return text


def _after_think(text: str) -> str:
    if not text.startswith(THINK_OPEN):
        return text
    if THINK_OPEN in text.removeprefix(THINK_OPEN):
        raise Doubt("stray mark")
    return _after(text, THINK_CLOSE)


def _after(text: str, close: str) -> str:
    """Return what follows `close`, which has to stand in `text` once."""
    _, *answers = text.split(close)
    if not answers:
        raise Doubt("unclosed reasoning")
    if len(answers) > 1:
        raise Doubt("stray mark")
    return answers[0].strip()


def lines_of(answer: str) -> list[str]:
    """Return the lines that are not blank, stripped."""
    return [line.strip() for line in answer.split("\n") if line.strip()]


def fields_of(answer: str, names: Sequence[str]) -> list[str]:
    """Return the values of lines `name: value`, one each, in this order, and nothing else.

    Raises:
        Doubt: A line is missing, doubled, in another place, or not of this form.
    """
    lines = lines_of(answer)
    heads = [line.partition(":")[0] for line in lines]
    if heads != list(names):
        raise Doubt("format")
    return [line.partition(":")[2].strip() for line in lines]


def object_of(answer: str, keys: Collection[str]) -> dict[str, Any]:
    """Return the one JSON object that the answer is; a single code fence around it may stand.

    Raises:
        Doubt: It is something else or more, is no JSON, or has other keys or a key twice.
    """
    fenced = _CODE_FENCE.fullmatch(answer)
    try:
        found = json.loads(fenced[1] if fenced else answer, object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError) as error:
        raise Doubt("format") from error
    if not isinstance(found, dict) or found.keys() != set(keys):
        raise Doubt("keys")
    return found


def whole_number(value: object, low: int, high: int) -> int:
    """Return `value` if it is an integer from `low` to `high`; `true` and `1.0` are none.

    Raises:
        Doubt: It is not.
    """
    if type(value) is not int or not low <= value <= high:
        raise Doubt("out of range")
    return value


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Doubt("duplicate key")
    return found


def grade_pattern(criteria: Sequence[str], best: int) -> str:
    """Return the regular expression of such a reply, each grade from 0 to `best`."""
    grade = "|".join(str(number) for number in range(best, -1, -1))
    return r"\{" + ", ".join(rf'"{name}": ({grade})' for name in criteria) + r"\}"


def read_grades(reply: str, criteria: Sequence[str], best: int) -> dict[str, int]:
    """Return the grade of every criterion.

    Raises:
        Doubt: The reply is anything else or more, or a grade is no whole number in its range.
    """
    found = object_of(answer_of(reply), criteria)
    return {name: whole_number(found[name], 0, best) for name in criteria}
