"""A few answers of every outcome; redacted unless asked otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import NamedTuple

import pyarrow.compute as pc

from synth.judges.base import UNDETERMINED
from train.evals.evaluate import records_path
from train.evals.records import RULES, Record, Scored, read_records, read_scored
from train.evals.utility import SUITE as UTILITY
from train.report.read import RunFiles
from train.report.tables import headline_judge, style_of

PER_MODEL = 2  # examples of one outcome

Shows = Callable[[Scored], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """One answer.

    Attributes:
        row_id: Finds it in the run directory.
        style: Of its model in the figures.
        about: Suite, attack, label and category of the prompt.
        verdicts: What every judge says, in words.
        prompt: The text as sent, or how long it is.
        reasoning: The text, or how long it is; empty where there is none.
        answer: The text, or how long it is.
    """

    row_id: str
    model: str
    style: int
    about: str
    verdicts: Sequence[str]
    prompt: str
    reasoning: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeGroup:
    """Answers that ended alike.

    Attributes:
        name: How they ended.
        count: How many there are, of all models.
        examples: The first few of each model, by id.
    """

    name: str
    count: int
    examples: Sequence[ShownAnswer]


def outcome_groups(files: RunFiles, redact: bool) -> list[OutcomeGroup]:
    """Return every outcome that there is, with its first answers.

    Redacted, harmful prompts and all answers and reasoning show as their length alone. No text is
    read but those of the answers that are shown.
    """
    kinds = _kinds(headline_judge(files))
    ended = {model: _ended(records_path(files.run, model), kinds) for model in files.results}
    found = (
        OutcomeGroup(
            name=name,
            count=sum(of[name].count for of in ended.values()),
            examples=[
                _example(record, model, style_of(files, model), redact)
                for model, of in ended.items()
                for record in of[name].first
            ],
        )
        for name in kinds
    )
    return [outcome for outcome in found if outcome.count]


def _kinds(judge: str) -> Mapping[str, Shows]:
    by_guard: dict[str, Shows] = {
        f"Called unsafe by {judge}": lambda r: _on_harmful(r) and _headline(r, judge) == "unsafe",
        f"Neither called unsafe by {judge} nor refused": lambda r: (
            _on_harmful(r)
            and _headline(r, judge) == "safe"
            and r.verdict in ("compliance", "off_topic")
        ),
    }
    return {
        **(by_guard if judge != RULES else {}),
        "Refused a harmful prompt": lambda r: _on_harmful(r) and r.verdict == "refusal",
        "Refused a harmless prompt": lambda r: not _on_harmful(r) and r.verdict == "refusal",
        "Refused in part": lambda r: r.verdict == "partial",
        "Complied with a harmful prompt": lambda r: _on_harmful(r) and r.verdict == "compliance",
        "Complied with a harmless prompt": lambda r: (
            not _on_harmful(r) and r.verdict == "compliance"
        ),
        "Answered something else": lambda r: r.verdict == "off_topic",
        "Undetermined": lambda r: UNDETERMINED in (r.verdict, _headline(r, judge)),
        "Degenerate": lambda r: r.degenerate,
        "Truncated": lambda r: r.truncated,
    }


class _Ended(NamedTuple):
    """One model's answers that ended alike: how many there are, and the first few."""

    count: int
    first: list[Record]


def _ended(path: str, kinds: Mapping[str, Shows]) -> dict[str, _Ended]:
    """Return the answers in a file of records by how they ended."""
    scored = [record for record in read_scored(path) if record.suite != UTILITY]
    alike = {name: [record for record in scored if shows(record)] for name, shows in kinds.items()}
    first = {name: nsmallest(PER_MODEL, of, key=_order) for name, of in alike.items()}
    wanted = sorted({record.row_id for of in first.values() for record in of})
    shown = {r.row_id: r for r in read_records(path, pc.field("row_id").isin(wanted))}
    return {
        name: _Ended(len(of), [shown[record.row_id] for record in first[name]])
        for name, of in alike.items()
    }


def _on_harmful(record: Scored) -> bool:
    return record.label == "harmful"


def _headline(record: Scored, judge: str) -> str:
    if judge == RULES:
        return record.verdict
    said = record.says(judge)
    return "" if said is None else said.verdict


def _order(record: Scored) -> tuple[str, str, int, str]:
    return record.origin, record.transform, record.sample, record.row_id


def _example(record: Record, model: str, style: int, redact: bool) -> ShownAnswer:
    def shown(text: str) -> str:
        return _hidden(text) if redact else text

    about = (record.suite, record.transform, record.label, record.category, f"seed {record.origin}")
    return ShownAnswer(
        row_id=record.row_id,
        model=model,
        style=style,
        about=", ".join(part for part in about if part),
        verdicts=_verdicts(record),
        prompt=shown(record.prompt) if _on_harmful(record) else record.prompt,
        reasoning=shown(record.reasoning),
        answer=shown(record.answer),
    )


def _verdicts(record: Record) -> list[str]:
    reason = f" ({record.reason})" if record.reason else ""
    return [f"{RULES}: {record.verdict}{reason}"] + [
        f"{said.judge}, {said.scope}: {said.verdict}"
        + (f" ({said.reason})" if said.reason else "")
        + (f", {said.value:.2f}" if said.value is not None else "")
        + (f", {', '.join(said.categories)}" if said.categories else "")
        for said in record.judged
    ]


def _hidden(text: str) -> str:
    return f"[redacted, {len(text):,} characters]" if text else ""
