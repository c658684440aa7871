"""Utility: what a student can still do, measured on a small suite of short questions.

Training for safety costs something, and whoever does not measure it has not seen the price. The
suite is ours (`train/data/utility.jsonl`), easy enough that a model of 135M parameters gets some
of it right, and each answer is checked by rule. Questions are asked as items of the evaluation
like any other prompt; what they score is derived from the records afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

from synth.digest import digest
from synth.records import Item, Message, Seed
from train.evals import intervals, metrics
from train.evals.attacks import PLAIN
from train.evals.checks import CHECKS, chosen, options_of
from train.evals.intervals import Resampling
from train.evals.metrics import Property
from train.evals.rates import DIGITS, Json, estimate_json, rate_json
from train.evals.records import Record
from train.evals.suites_suites import RECIPE

SUITE = "utility"
VERSION = 1  # raised by hand when a question or a check changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
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
def questions() -> tuple[Question, ...]:
    """Return the questions, in file order."""
    text = files("train").joinpath("data", "utility.jsonl").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return tuple(Question(**row | {"answer": tuple(row["answer"])}) for row in rows)


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


def is_correct(question: Question, answer: str) -> bool:
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
        resampling: Behind the intervals.
    """
    asked = [record for record in records if record.suite == SUITE]
    if not asked:
        return None

    def rate(shows: Property, of: Sequence[Record] = asked) -> Json:
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
        resampling: Behind the intervals.
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
    difference = intervals.estimate([new, minus_old], resampling)
    p = intervals.sign_flip_p([new, minus_old], resampling) if both else None
    return {
        "retention": estimate_json(intervals.ratio(new, old, resampling)),
        "difference": estimate_json(difference),
        "prompts": len(both),
        "p": None if p is None else round(p, DIGITS),
    }


@cache
def _by_origin() -> dict[str, Question]:
    return {question.seed.seed_id: question for question in questions()}
