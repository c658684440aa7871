"""A few answers, side by side; redacted unless asked otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from train.evals.records import Record
from train.report.read import RunFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One model's answer.

    Attributes:
        verdict: The rule judge's, with the rule's id.
        reasoning: The text, or how long it is; empty where there is none.
        answer: The text, or how long it is.
    """

    model: str
    verdict: str
    reasoning: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt and what every model made of it.

    Attributes:
        origin: Id of its seed.
        group: Suite and attack.
        prompt: The text, or how long it is.
    """

    origin: str
    group: str
    label: str
    category: str
    prompt: str
    answers: Sequence[Answer]


def examples(files: RunFiles, redact: bool) -> list[Example]:
    """Return the first prompt of each group and label, by id, with every model's first answer.

    Redacted, harmful prompts and all answers and reasoning show as their length alone.
    """
    chosen: dict[tuple[str, str, str], dict[str, Record]] = {}
    for model, records in files.records.items():
        for record in _first_prompts(records):
            key = (record.suite, record.transform, record.label)
            chosen.setdefault(key, {})[model] = record
    return [_example(records, redact) for records in chosen.values()]


def _first_prompts(records: Sequence[Record]) -> list[Record]:
    first: dict[tuple[str, str, str], Record] = {}
    for record in records:
        if record.sample == 0:
            key = (record.suite, record.transform, record.label)
            first[key] = min(record, first.get(key, record), key=lambda one: one.origin)
    return list(first.values())


def _example(records: Mapping[str, Record], redact: bool) -> Example:
    one = next(iter(records.values()))
    return Example(
        origin=one.origin,
        group=f"{one.suite}, {one.transform}",
        label=one.label,
        category=one.category,
        prompt=_hidden(one.prompt) if redact and one.label == "harmful" else one.prompt,
        answers=[
            Answer(
                model=model,
                verdict=f"{record.verdict} ({record.reason})",
                reasoning=_hidden(record.reasoning) if redact else record.reasoning,
                answer=_hidden(record.answer) if redact else record.answer,
            )
            for model, record in records.items()
        ],
    )


def _hidden(text: str) -> str:
    return f"[redacted, {len(text)} characters]" if text else ""
