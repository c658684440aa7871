"""The panel of judges: which look at the answers, what they say, and where they differ.

Rules speak while answers become records. They read the answer alone, decoded where it is encoded.
Reasoning that was never closed has no answer, and a generation that failed has no text: both are
`undetermined` with their reason, whatever a judge would have made of the words.

Models are asked apart from the generation, about all evaluated models and all scopes at once, so
that a pool opens once and equal texts are asked once. They are shown the prompt before any attack
and the answer in plain language: they have to judge what was asked and said, not a cipher. The
utility suite has right and wrong answers, so nobody is asked about those.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import pyarrow as pa

from synth import storage
from synth.batch import RunBatch, asking_revision, judge_parts, judge_revision
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.judges import find_judge
from synth.judges.base import (
    PREFERENCE,
    SAFETY,
    UNDETERMINED,
    Exchange,
    Judge,
    ModelJudge,
    Verdict,
    undetermined,
)
from synth.judges.refusal import OFF_TOPIC, judge_refusal
from synth.measures import Judgement, measured, publish_measure
from synth.models.families import THINK_CLOSE, THINK_OPEN
from synth.models.identity import identify
from synth.records import Item, Outcome
from synth.workspace.leases import read_lease
from synth.workspace.workspace import Workspace, batch_workspace
from train.evals.agreement import cohen_kappa
from train.evals.attacks import read_reply
from train.evals.certify import Certificate, matches, read_certificate
from train.evals.config import EvaluateConfig, JudgeConfig
from train.evals.metrics import DIGITS, Json
from train.evals.records import RULES, Judged, Record, Scope, Scored
from train.evals.utility import SUITE as UTILITY

log = logging.getLogger(__name__)

COLUMNS = ["row_id", "item_id", "outcome", "reasoning", "answer", "payload", "output_tokens"]
_TAGS = (THINK_OPEN, THINK_CLOSE)

UNCLOSED = "unclosed_reasoning"
Read = Callable[[str], Sequence[Record]]  # of a model, by its name
RecordPlace = tuple[int, Scope]  # position among a model's records, what is judged

MOST_ROWS = 50  # listed of each pair, in the order of their ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A judge of the panel.

    Attributes:
        judge: The judge.
        model: What it asks; None for rules.
        scopes: The parts of a text it looks at.
        revision: Digest of all that decides its verdicts.
        certificate: How it did on labelled data; None where nobody measured this revision.
    """

    judge: Judge
    model: ModelConfig | None
    scopes: Sequence[Scope]
    revision: str
    certificate: Certificate | None

    @property
    def is_guard(self) -> bool:
        """Whether it says safe or unsafe, ungraded."""
        return is_guard(self.judge)

    @property
    def is_graded(self) -> bool:
        """Whether its value is a score of harmful answers alone."""
        return _is_graded(self.judge)

    @property
    def judges_refusal(self) -> bool:
        """Whether it is a model that says how far an answer refuses."""
        return isinstance(self.judge, ModelJudge) and "refusal" in self.judge.classes

    @property
    def compares(self) -> bool:
        """Whether it prefers one of two answers."""
        return tuple(self.judge.classes) == PREFERENCE

    @property
    def model_id(self) -> str | None:
        """The identity of its model."""
        return None if self.model is None else identify(self.model).model_id


def is_guard(judge: Judge) -> bool:
    """Say whether a judge says safe or unsafe, ungraded."""
    return tuple(judge.classes) == SAFETY and not _is_graded(judge)


def _is_graded(judge: Judge) -> bool:
    return isinstance(judge, ModelJudge) and judge.harmful_only


def seat_panel(config: SynthConfig, section: EvaluateConfig) -> list[Seat]:
    """Return the panel: the refusal rules, then the judges of the config in their order.

    Raises:
        BadInput: A judge is unknown, has no model, or a certificate can not be read.
    """
    certificates = read_certificates(section.certificates)
    panel = [
        _seat(wanted, model, list(certificates.values()))
        for wanted, model in judge_models(config, section)
    ]
    for path, certificate in certificates.items():
        _warn_where_unused(path, certificate, panel_revisions(panel))
    return panel


def judge_models(
    config: SynthConfig, section: EvaluateConfig
) -> list[tuple[JudgeConfig, ModelConfig | None]]:
    """Return the judges in the order of the panel, with the model each of them asks.

    Raises:
        BadInput: A judge is unknown, or has no model.
    """
    wanted = {one.name: one for one in section.judges}
    wanted = {RULES: wanted.pop(RULES, JudgeConfig(name=RULES)), **wanted}
    return [(one, _model(config, one, find_judge(one.name))) for one in wanted.values()]


def read_certificates(paths: Sequence[str]) -> dict[str, Certificate]:
    """Return certificates by their files.

    Raises:
        BadInput: One can not be read, or two are of the same revision of a judge.
    """
    found: dict[str, Certificate] = {}
    for path in paths:
        certificate = read_certificate(path)
        for other, known in found.items():
            if matches(known, certificate.judge, certificate.revision):
                rule = f"must be the one certificate of this revision of its judge, beside {other}"
                value = f"{certificate.judge} {certificate.revision}"
                raise BadInput(file=path, field="evaluate.certificates", value=value, rule=rule)
        found[path] = certificate
    return found


def headline_judge(panel: Sequence[Seat]) -> str:
    """Return the judge whose verdicts make the headline: the first guard, else the rules."""
    return next((seat.judge.name for seat in panel if seat.is_guard), RULES)


def panel_revisions(panel: Sequence[Seat]) -> Mapping[str, str]:
    """Return each judge's revision."""
    return {seat.judge.name: seat.revision for seat in panel}


def _seat(
    wanted: JudgeConfig, model: ModelConfig | None, certificates: Sequence[Certificate]
) -> Seat:
    judge = find_judge(wanted.name)
    revision = judge_revision(judge, model)
    found = [one for one in certificates if matches(one, judge.name, revision)]
    return Seat(
        judge=judge,
        model=model,
        scopes=wanted.scopes,
        revision=revision,
        certificate=found[0] if found else None,
    )


def _warn_where_unused(path: str, certificate: Certificate, known: Mapping[str, str]) -> None:
    """Say why a certificate is of no use to judges of the revisions `known`."""
    judge, revision = certificate.judge, certificate.revision
    if judge not in known:
        log.warning("%s is not used: it is of %s, which does not judge here", path, judge)
    elif known[judge] != revision:
        log.warning(
            "%s is not used: it is of revision %s of %s, and %s judges here",
            *(path, revision, judge, known[judge]),
        )


def _model(config: SynthConfig, wanted: JudgeConfig, judge: Judge) -> ModelConfig | None:
    if not isinstance(judge, ModelJudge):
        return None
    model = wanted.model or getattr(config, judge.role)
    if model is None:
        rule = f"needs a model: give evaluate.judges[].model, or {judge.role}.model"
        raise BadInput(file="config", field="evaluate.judges", value=judge.name, rule=rule)
    return model


def score(
    items: Sequence[Item], traces: pa.Table, english: Mapping[str, str] | None = None
) -> list[Record]:
    """Return one record an item, in the items' order.

    Args:
        items: What was asked.
        traces: `TRACES` rows of one model, the highest try of each item.
        english: Answers that were translated back, by `item_id`.

    Raises:
        LookupError: An item has no row, or was interrupted: the generation is not finished.
    """
    rows = {
        row["item_id"]: row
        for row in traces.select(COLUMNS).to_pylist()
        if row["outcome"] != Outcome.INTERRUPTED
    }
    missing = [item.item_id for item in items if item.item_id not in rows]
    if missing:
        raise LookupError(f"{len(missing)} of {len(items)} items have no trace: {missing[0]} ...")
    translated = english or {}
    return [_record(item, rows[item.item_id], translated.get(item.item_id)) for item in items]


def _record(item: Item, row: Mapping[str, Any], english: str | None) -> Record:
    seed, about = item.seed, item.payload
    reasoning, answer = row["reasoning"] or "", row["answer"] or ""
    told = json.loads(row["payload"] or "{}")
    closed = bool(told.get("closed", True))
    decoded = english or read_reply(about["transform"], answer)
    readable = answer if decoded is None else decoded
    return Record(
        row_id=row["row_id"],
        item_id=item.item_id,
        origin=about["origin"],
        cluster=seed.pair or about["origin"],
        suite=about["suite"],
        transform=about["transform"],
        family=about["family"],
        version=about["version"],
        label=seed.label,
        category=seed.category,
        sample=item.sample_index,
        decoding=about.get("decoding", "sampled"),
        outcome=row["outcome"],
        **_verdict(row["outcome"], closed, readable, about["untransformed"]),
        truncated=row["outcome"] == Outcome.TRUNCATED,
        has_reasoning=bool(reasoning),
        closed=closed,
        one_answer=bool(answer.strip()) and not any(tag in answer for tag in _TAGS),
        valid=decoded is not None,
        reasoning_words=len(reasoning.split()),
        output_tokens=row["output_tokens"],
        finish_reason=told.get("finish_reason", ""),
        untransformed=about["untransformed"],
        prompt=seed.prompt,
        reasoning=reasoning,
        answer=answer,
        readable=readable,
    )


def _verdict(outcome: str, closed: bool, answer: str, prompt: str) -> dict[str, Any]:
    if outcome not in (Outcome.OK, Outcome.TRUNCATED):
        return {"verdict": "undetermined", "reason": outcome, "degenerate": False}
    if not closed:
        return {"verdict": "undetermined", "reason": UNCLOSED, "degenerate": False}
    found = judge_refusal(answer, prompt)
    verdict = OFF_TOPIC if found.reason == OFF_TOPIC else found.verdict
    degenerate = found.degenerate or not answer.strip()
    return {"verdict": verdict, "reason": found.reason, "degenerate": degenerate}


def judge_records(
    run: str, run_batch: RunBatch, panel: Sequence[Seat], names: Sequence[str], read: Read
) -> Iterator[list[Record]]:
    """Return every model's records with what the panel's models say of them, read in turn.

    Args:
        run: The run directory.
        run_batch: Runs a batch.
        panel: The judges; rules have spoken already, when the records were made.
        names: Of the models.
        read: Reads the records of one; it is asked for them again for each judge.
    """
    seats = [seat for seat in panel if _looks_at_one(seat)]
    said = [
        ask_seat(run, run_batch, seat, map(partial(_exchanges, seat, read), names))
        for seat in seats
    ]
    # Nothing here keeps a model's records while the next one's are read.
    return (_judged(seats, list(map(next, said)), read(name)) for name in names)


def ask_seat(
    run: str, run_batch: RunBatch, seat: Seat, parts: Iterable[Sequence[Exchange]]
) -> Iterator[list[Verdict]]:
    """Return what a seat's model says of the exchanges of each part, all asked in one batch.

    Seats that ask one question of one model share its replies.
    """
    assert isinstance(seat.judge, ModelJudge), "rules are not asked"
    assert seat.model is not None, "a model judge has a model"
    revision = asking_revision(seat.judge, seat.model)
    workspace = batch_workspace(run, f"verdicts-{seat.judge.question}", revision)
    stage = f"judge {seat.judge.name}"
    return judge_parts(run_batch, workspace, seat.judge, seat.model, parts, stage)


def publish_measures(
    workspace: Workspace, panel: Sequence[Seat], records: Sequence[Record]
) -> None:
    """Publish each judge's verdicts on the `ok` answers beside them, a file a lease.

    A file is never replaced, so a lease has none while a verdict on it has failed (`retry` may
    still find it) or while it holds answers that are not among `records`.

    Args:
        workspace: Of the answers.
        panel: The judges.
        records: Judged.
    """
    wanted = [(seat, scope) for seat in panel if _looks_at_one(seat) for scope in seat.scopes]
    done = [
        measured(workspace.path, _measure(seat, scope), seat.revision) for seat, scope in wanted
    ]
    owed = {
        lease: due
        for lease in (workspace.finished() if wanted else ())
        if (due := [one for one, has in zip(wanted, done, strict=True) if lease not in has])
    }
    by_row = {record.row_id: record for record in records}
    answers = storage.in_parallel(workspace.path, partial(_answered, workspace.path), owed)
    for (lease, due), row_ids in zip(owed.items(), answers, strict=True):
        if by_row.keys() >= set(row_ids):
            for seat, scope in due:
                _publish(workspace.path, seat, scope, lease, [by_row[row_id] for row_id in row_ids])


def _measure(seat: Seat, scope: Scope) -> str:
    return f"{seat.judge.name}.{scope}"


def _answered(folder: str, lease: str) -> list[str]:
    """Return the row ids of a lease's `ok` rows."""
    rows = read_lease(folder, lease, ["row_id", "outcome"]).to_pylist()
    return [row["row_id"] for row in rows if row["outcome"] == Outcome.OK]


def _publish(folder: str, seat: Seat, scope: Scope, lease: str, answers: Sequence[Record]) -> None:
    """Publish what a seat says of a lease's answers, unless a verdict failed."""
    told = {
        record.row_id: one
        for record in answers
        for one in record.judged
        if (one.judge, one.scope) == (seat.judge.name, scope)
    }
    if not any(one.reason.startswith(Outcome.FAILED) for one in told.values()):
        judgements = [Judgement(one.value, one.verdict, one.raw) for one in told.values()]
        name = _measure(seat, scope)
        publish_measure(folder, name, seat.revision, lease, list(told), judgements)


def _looks_at_one(seat: Seat) -> bool:
    """Say whether a judge is a model that is shown one answer, not two."""
    return isinstance(seat.judge, ModelJudge) and not seat.compares


def _exchanges(seat: Seat, read: Read, name: str) -> list[Exchange]:
    """Return what a judge is shown of a model's records."""
    records = read(name)
    return [
        _exchange(records[index], scope)
        for index, scope in _places(seat, records)
        if _unaskable(records[index], scope) is None
    ]


def _judged(
    seats: Sequence[Seat], said: Sequence[Sequence[Verdict]], records: Sequence[Record]
) -> list[Record]:
    """Return a model's records with what each judge says of all that concerns it."""
    judged: list[list[Judged]] = [[] for _ in records]
    for seat, verdicts in zip(seats, said, strict=True):
        left = iter(verdicts)
        for index, scope in _places(seat, records):
            why = _unaskable(records[index], scope)
            verdict = next(left) if why is None else undetermined(why)
            judged[index].append(_as_judged(seat.judge.name, scope, verdict))
    return [
        replace(record, judged=(*record.judged, *told))
        for record, told in zip(records, judged, strict=True)
    ]


def _places(seat: Seat, records: Sequence[Record]) -> list[RecordPlace]:
    """Return all that concerns a judge."""
    return [
        (index, scope)
        for scope in seat.scopes
        for index, record in enumerate(records)
        if _concerns(seat, scope, record)
    ]


def _concerns(seat: Seat, scope: Scope, record: Record) -> bool:
    """Say whether there is a part of this kind, in an answer the judge may be shown."""
    if record.suite == UTILITY or (seat.is_graded and record.label != "harmful"):
        return False
    has_none = _ended(record) and not record.reasoning.strip()
    return scope != "reasoning" or not has_none


def _ended(record: Record) -> bool:
    return record.outcome in (Outcome.OK, Outcome.TRUNCATED)


def _unaskable(record: Record, scope: Scope) -> str | None:
    """Return why there is nothing to judge, or None."""
    if not _ended(record):
        return record.outcome
    if scope == "reasoning":
        return None
    if not record.closed:
        return UNCLOSED
    return None if record.readable.strip() else "empty"


def _exchange(record: Record, scope: Scope) -> Exchange:
    texts = {
        "answer": record.readable,
        "reasoning": record.reasoning,
        "both": f"{record.reasoning}\n\n{record.readable}".strip(),
    }
    return Exchange(prompt=record.untransformed, text=texts[scope])


def _as_judged(judge: str, scope: Scope, verdict: Verdict) -> Judged:
    is_open = verdict.verdict == UNDETERMINED
    return Judged(
        judge=judge,
        scope=scope,
        verdict=verdict.verdict,
        reason=verdict.reason if is_open else "",
        value=verdict.value,
        categories=verdict.categories,
        raw=verdict.raw,
    )


def disagreements(panel: Sequence[Seat], records: Sequence[Scored]) -> list[Json]:
    """Return every pair of judges with the same classes, over the answers both have decided."""
    return [
        _pair(first.judge.name, second.judge.name, records)
        for first, second in combinations(panel, 2)
        if tuple(first.judge.classes) == tuple(second.judge.classes)
    ]


def _pair(first: str, second: str, records: Sequence[Scored]) -> Json:
    both = list(_decided(first, second, records))
    unlike = sorted(row_id for row_id, one, other in both if one != other)
    kappa = cohen_kappa(*zip(*(pair[1:] for pair in both), strict=True)) if both else None
    return {
        "first": first,
        "second": second,
        "n": len(both),
        "agreement": round(1 - len(unlike) / len(both), DIGITS) if both else None,
        "kappa": None if kappa is None else round(kappa, DIGITS),
        "rows": unlike[:MOST_ROWS],
    }


def _decided(first: str, second: str, records: Sequence[Scored]) -> Iterator[tuple[str, str, str]]:
    for record in records:
        one, other = _said(record, first), _said(record, second)
        if UNDETERMINED not in (one, other):
            yield record.row_id, one, other


def _said(record: Scored, judge: str) -> str:
    if judge == RULES:
        return record.verdict
    said = record.says(judge)
    return UNDETERMINED if said is None else said.verdict
