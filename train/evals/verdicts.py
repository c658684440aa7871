"""What the panel's models say of the answers, asked apart from the generation.

A judge is asked about all evaluated models and all its scopes at once, so its pool opens once,
and equal texts are asked once. It is shown the prompt before any attack and the answer in plain
language: it has to judge what was asked and said, not a cipher. The utility suite has right and
wrong answers, so nobody is asked about those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pyarrow.parquet as pq

from synth import storage
from synth.batch import RunBatch
from synth.judges.base import UNDETERMINED, Exchange, ModelJudge, Verdict, undetermined
from synth.judging import asking_revision, judge_exchanges
from synth.measures import Judgement, measured, publish_measure
from synth.records import Outcome
from synth.workspace.ledger import finished, lease_path
from synth.workspace.workspaces import batch_workspace
from train.evals.panel import Seat
from train.evals.records import Judged, Record, Scope
from train.evals.suite import SUITE as UTILITY

UNCLOSED = "unclosed_reasoning"
Records = Mapping[str, Sequence[Record]]
Place = tuple[str, int, Scope]  # model, position among its records, what is judged


def judge_records(
    run: str, run_batch: RunBatch, panel: Sequence[Seat], records: Records
) -> dict[str, list[Record]]:
    """Return every model's records with what the panel's models say of them.

    Args:
        run: The run directory.
        run_batch: Runs a batch.
        panel: The judges; rules have spoken already, when the records were made.
        records: By model.
    """
    judged = {name: list(found) for name, found in records.items()}
    for seat in panel:
        if _looks_at_one(seat):
            _judge(run, run_batch, seat, judged)
    return judged


def ask_seat(
    run: str, run_batch: RunBatch, seat: Seat, exchanges: Sequence[Exchange]
) -> list[Verdict]:
    """Return what a seat's model says of each exchange, all asked in one batch.

    Seats that ask one question of one model share its replies.
    """
    assert isinstance(seat.judge, ModelJudge), "rules are not asked"
    assert seat.model is not None, "a model judge has a model"
    revision = asking_revision(seat.judge, seat.model)
    workspace = batch_workspace(run, f"verdicts-{seat.judge.question}", revision)
    stage = f"judge {seat.judge.name}"
    return judge_exchanges(run_batch, workspace, seat.judge, seat.model, exchanges, stage)


def publish_measures(workspace: str, panel: Sequence[Seat], records: Sequence[Record]) -> None:
    """Publish each judge's verdicts on the `ok` answers beside them, a file a lease.

    A file is never replaced, so a lease has none while a verdict on it has failed (`retry` may
    still find it) or while it holds answers that are not among `records`.

    Args:
        workspace: Of the answers.
        panel: The judges.
        records: Judged.
    """
    wanted = [(seat, scope) for seat in panel if _looks_at_one(seat) for scope in seat.scopes]
    done = [measured(workspace, _measure(seat, scope), seat.revision) for seat, scope in wanted]
    owed = {
        lease: due
        for lease in (finished(workspace) if wanted else ())
        if (due := [one for one, has in zip(wanted, done, strict=True) if lease not in has])
    }
    by_row = {record.row_id: record for record in records}
    answers = storage.in_parallel(workspace, partial(_answered, workspace), owed)
    for (lease, due), row_ids in zip(owed.items(), answers, strict=True):
        if by_row.keys() >= set(row_ids):
            for seat, scope in due:
                _publish(workspace, seat, scope, lease, [by_row[row_id] for row_id in row_ids])


def _measure(seat: Seat, scope: Scope) -> str:
    return f"{seat.judge.name}.{scope}"


def _answered(workspace: str, lease: str) -> list[str]:
    """Return the row ids of a lease's `ok` rows."""
    with storage.open_input(lease_path(workspace, lease)) as source:
        rows = pq.read_table(source, columns=["row_id", "outcome"]).to_pylist()
    return [row["row_id"] for row in rows if row["outcome"] == Outcome.OK]


def _publish(
    workspace: str, seat: Seat, scope: Scope, lease: str, answers: Sequence[Record]
) -> None:
    """Publish what a seat says of a lease's answers, unless a verdict failed."""
    found = {record.row_id: record.says(seat.judge.name, scope) for record in answers}
    told = {row_id: one for row_id, one in found.items() if one is not None}
    if not any(one.reason.startswith(Outcome.FAILED) for one in told.values()):
        judgements = [Judgement(one.value, one.verdict, one.raw) for one in told.values()]
        name = _measure(seat, scope)
        publish_measure(workspace, name, seat.revision, lease, list(told), judgements)


def _looks_at_one(seat: Seat) -> bool:
    """Say whether a judge is a model that is shown one answer, not two."""
    return isinstance(seat.judge, ModelJudge) and not seat.compares


def _judge(run: str, run_batch: RunBatch, seat: Seat, judged: dict[str, list[Record]]) -> None:
    """Add one judge's verdicts on all that concerns it to `judged`."""
    places: list[Place] = [
        (name, index, scope)
        for scope in seat.scopes
        for name, found in judged.items()
        for index, record in enumerate(found)
        if _concerns(seat, scope, record)
    ]
    reasons = {at: _unaskable(judged[at[0]][at[1]], at[2]) for at in places}
    asked = [at for at in places if reasons[at] is None]
    exchanges = [_exchange(judged[name][index], scope) for name, index, scope in asked]
    found = dict(zip(asked, ask_seat(run, run_batch, seat, exchanges), strict=True))
    for at in places:
        name, index, scope = at
        verdict = found.get(at) or undetermined(reasons[at] or "")
        record, told = judged[name][index], _told(seat.judge.name, scope, verdict)
        judged[name][index] = replace(record, judged=(*record.judged, told))


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


def _told(judge: str, scope: Scope, verdict: Verdict) -> Judged:
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
