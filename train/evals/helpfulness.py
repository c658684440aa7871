"""Which of two models helps more with benign prompts: a judge that compares, in both orders.

A judge that prefers whichever answer it reads first says nothing about the answers: a win counts
only where both orders agree, and an order that decides is `undetermined`. All models are compared
in one batch, so the judge's pool opens once; the texts in memory are those of one comparison.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import pyarrow.compute as pc

from synth.batch import RunBatch
from synth.judges.base import UNDETERMINED, Exchange, Verdict
from synth.judges.rubrics import agree
from train.evals import stats
from train.evals.attacks import PLAIN
from train.evals.judge import Seat, ask_seat
from train.evals.metrics import DIGITS, Json, count_prompts, estimate_json, rate
from train.evals.records import Scored, read_records, read_scored
from train.evals.stats import Resampling
from train.evals.utility import SUITE as UTILITY

# What is compared: the sampled answers to the benign prompts of suites, as they are.
_COMPARED = (
    (pc.field("label") == "benign")
    & (pc.field("transform") == PLAIN)
    & (pc.field("decoding") == "sampled")
    & (pc.field("suite") != UTILITY)
)


def helpfulness(
    run: str,
    run_batch: RunBatch,
    panel: Sequence[Seat],
    paths: Mapping[str, str],
    resampling: Resampling,
) -> list[Json]:
    """Return how each model does against the first one; empty without a judge that compares.

    Args:
        run: The run directory.
        run_batch: Runs a batch.
        panel: The judges.
        paths: The file of each model's records, in the models' order.
        resampling: How intervals are drawn.
    """
    seat = next((seat for seat in panel if seat.compares), None)
    if seat is None or len(paths) < 2:
        return []
    [baseline, *names] = paths
    parts = map(partial(_exchanges, paths[baseline]), (paths[name] for name in names))
    said = ask_seat(run, run_batch, seat, parts)
    return [
        _compared(seat, (baseline, name), _answers(paths[name], paths[baseline]), own, resampling)
        for name, own in zip(names, said, strict=True)
    ]


def _compared(
    seat: Seat,
    names: tuple[str, str],
    own: Sequence[Scored],
    said: Sequence[Verdict],
    resampling: Resampling,
) -> Json:
    """Return one model's wins and losses, by what both orders of each pair say together."""
    baseline, model = names
    agreed = map(agree, said[::2], said[1::2])
    verdicts = {one.row_id: found.verdict for one, found in zip(own, agreed, strict=True)}
    won, lost = (
        count_prompts(own, lambda record, side=side: _is(verdicts[record.row_id], side))
        for side in ("first", "second")
    )
    terms = [rate(won), rate(lost, -1.0)]
    known = all(term.values for term in terms)
    counts = {side: list(verdicts.values()).count(side) for side in ("first", "tie", "second")}
    return {
        "model": model,
        "baseline": baseline,
        "judge": seat.judge.name,
        "prompts": len({record.origin for record in own}),
        "wins": counts["first"],
        "ties": counts["tie"],
        "losses": counts["second"],
        "undetermined": len(own) - sum(counts.values()),
        "net": estimate_json(stats.estimate(terms, resampling)),
        "p": round(stats.sign_flip_p(terms, resampling), DIGITS) if known else None,
    }


def _exchanges(baseline: str, model: str) -> list[Exchange]:
    """Return what the judge is shown of two models' files, each pair of answers in both orders."""
    others = {record.item_id: record for record in read_records(baseline, _COMPARED)}
    pairs = (
        (own, others[own.item_id])
        for own in read_records(model, _COMPARED)
        if own.item_id in others
    )
    return [
        Exchange(prompt=own.untransformed, text=first.readable, rival=second.readable)
        for own, other in pairs
        for first, second in ((own, other), (other, own))
    ]


def _answers(model: str, baseline: str) -> list[Scored]:
    """Return what is counted of a model's answers to items that the other one was asked, too."""
    asked = {record.item_id for record in read_scored(baseline, _COMPARED)}
    return [record for record in read_scored(model, _COMPARED) if record.item_id in asked]


def _is(verdict: str, side: str) -> bool | None:
    return None if verdict == UNDETERMINED else verdict == side
