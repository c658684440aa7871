"""Utility: what a student can still do, measured on a small suite of short questions.

Training for safety costs something, and whoever does not measure it has not seen the price. The
suite is ours (`train/data/utility.jsonl`), easy enough that a model of 135M parameters gets some
of it right, and each answer is checked by rule. Questions are asked as items of the evaluation
like any other prompt; what they score is derived from the records afterwards.

Models wrap what they were asked for: in a sentence, in Markdown, in quotes. The checks look past
that and no further: where a text names two choices, it has named none.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import combinations, groupby
from typing import Any

import pyarrow.compute as pc

from synth.judges.reading import words
from synth.records import Item, Message, Seed, digest
from train.evals import metrics, stats
from train.evals.attacks import PLAIN
from train.evals.metrics import DIGITS, Json, estimate_json, rate_json
from train.evals.records import Record
from train.evals.stats import Resampling
from train.evals.suites import RECIPE

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

SUITE = "utility"
IS_UTILITY = pc.field("suite") == SUITE  # of records: those that answer a question
VERSION = 1  # raised by hand when a question or a check changes


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityQuestion:
    """One question of the suite.

    Attributes:
        id: Its name, such as `facts-03`.
        task: The kind it belongs to.
        prompt: What is asked.
        check: How an answer is checked: a key of `CHECKS`, or `choice`.
        answer: What the check needs: the right answer, in its accepted forms.
    """

    id: str
    task: str
    prompt: str
    check: str
    answer: tuple[str, ...]

    @property
    def seed(self) -> Seed:
        """The question as a prompt of the evaluation."""
        return Seed(
            seed_id=digest([Message(role="user", content=self.prompt)]),
            prompt=self.prompt,
            label="benign",
            category=self.task,
            source=SUITE,
        )


@cache
def questions() -> tuple[UtilityQuestion, ...]:
    """Return the questions, in file order."""
    text = files("train").joinpath("data", "utility.jsonl").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return tuple(UtilityQuestion(**row | {"answer": tuple(row["answer"])}) for row in rows)


def utility_items() -> list[Item]:
    """Return the questions as items of the evaluation, each asked once."""
    return [
        Item(
            seed=seed,
            recipe=RECIPE,
            payload={
                "suite": SUITE,
                "family": PLAIN,
                "transform": PLAIN,
                "version": VERSION,
                "untransformed": seed.prompt,
                "origin": seed.seed_id,
                "question": question.id,
            },
        )
        for question in questions()
        for seed in [question.seed]
    ]


def is_correct(question: UtilityQuestion, answer: str) -> bool:
    """Say whether `answer`, without any reasoning, answers `question`."""
    if question.check == "choice":
        return chosen(answer, options_of(question.prompt)) == question.answer[0]
    return CHECKS[question.check](answer, question.answer)


def answered_right(record: Record) -> bool | None:
    """Say whether a record answers its question; None where nothing could be generated.

    What is cut, never leaves its reasoning, or refuses is wrong, whatever words it holds: some
    questions only ask for a form, which a refusal can have by chance.
    """
    if not record.generated:
        return None
    if record.truncated or not record.closed or record.verdict == "refusal":
        return False
    return is_correct(_by_origin()[record.origin], record.answer)


def utility_summary(records: Sequence[Record], resampling: Resampling) -> Json | None:
    """Return the utility of one model; None where it was not asked.

    Args:
        records: Of one model; those of other suites are passed over.
        resampling: Behind the stats.
    """
    asked = [record for record in records if record.suite == SUITE]
    if not asked:
        return None

    def rate(shows: Callable[[Record], bool | None], of: Sequence[Record] = asked) -> Json:
        return rate_json(metrics.count_prompts(of, shows), resampling)

    tasks = dict.fromkeys(record.category for record in asked)
    return {
        "score": rate(answered_right),
        "tasks": {
            task: rate(answered_right, [r for r in asked if r.category == task]) for task in tasks
        },
        "refused": rate(metrics.refused_at_all),
        "degenerate": rate(metrics.degenerate),
        "truncated": rate(metrics.of_answers(lambda r: r.truncated or not r.closed)),
        "mean_output_tokens": _mean_output_tokens(asked),
    }


def utility_comparison(
    records: Mapping[str, Sequence[Record]], resampling: Resampling
) -> list[Json]:
    """Return what each model keeps of the score of every model before it.

    Args:
        records: Each model's, in the order base, then arms.
        resampling: Behind the stats.
    """
    asked = {
        name: [record for record in found if record.suite == SUITE]
        for name, found in records.items()
    }
    return [
        {
            "model": model,
            "baseline": baseline,
            **_retention(asked[model], asked[baseline], resampling),
        }
        for baseline, model in combinations(asked, 2)
        if asked[model] and asked[baseline]
    ]


def _mean_output_tokens(records: Sequence[Record]) -> float | None:
    counted = [r.output_tokens for r in records if r.generated and r.output_tokens is not None]
    return round(sum(counted) / len(counted), 1) if counted else None


def _retention(model: Sequence[Record], baseline: Sequence[Record], resampling: Resampling) -> Json:
    """Compare two models on the questions that both could be asked."""
    determined = [
        {r.origin for r in of if answered_right(r) is not None} for of in (model, baseline)
    ]
    both = determined[0] & determined[1]
    scores = [
        metrics.rate(
            metrics.count_prompts([r for r in of if r.origin in both], answered_right), weight
        )
        for of, weight in ((model, 1.0), (baseline, 1.0), (baseline, -1.0))
    ]
    new, old, minus_old = scores
    means = stats.resampled_means([new, old], resampling) if both else None
    difference = stats.estimate([new, minus_old], resampling, means)
    p = stats.sign_flip_p([new, minus_old], resampling) if both else None
    return {
        "retention": estimate_json(stats.ratio(new, old, resampling, means)),
        "difference": estimate_json(difference),
        "prompts": len(both),
        "p": None if p is None else round(p, DIGITS),
    }


@cache
def _by_origin() -> dict[str, UtilityQuestion]:
    return {question.seed.seed_id: question for question in questions()}
