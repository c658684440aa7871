"""Which of two models helps more with benign prompts: a judge that compares, in both orders.

A judge that prefers whichever answer it reads first says nothing about the answers: a win counts
only where both orders agree, and an order that decides is `undetermined`. All models are compared
in one batch, so the judge's pool opens once.
"""

from collections.abc import Sequence
from itertools import chain, islice

from synth.batch import RunBatch
from synth.judges.base import UNDETERMINED, Exchange, Verdict
from synth.judges.rubrics import agree
from train.evals import stats
from train.evals.attacks import PLAIN
from train.evals.judge import Records, Seat, ask_seat
from train.evals.metrics import DIGITS, Json, count_prompts, estimate_json, rate
from train.evals.records import Record
from train.evals.stats import Resampling
from train.evals.utility import SUITE as UTILITY

Pair = tuple[Record, Record]


def helpfulness(
    run: str, run_batch: RunBatch, panel: Sequence[Seat], records: Records, resampling: Resampling
) -> list[Json]:
    """Return how each model does against the first one; empty without a judge that compares.

    Args:
        run: The run directory.
        run_batch: Runs a batch.
        panel: The judges.
        records: By model, in their order.
        resampling: How intervals are drawn.
    """
    seat = next((seat for seat in panel if seat.compares), None)
    names = list(records)
    if seat is None or len(names) < 2:
        return []
    pairs = {name: _pairs(records[name], records[names[0]]) for name in names[1:]}
    exchanges = [
        Exchange(prompt=own.untransformed, text=first.readable, rival=second.readable)
        for own, other in chain.from_iterable(pairs.values())
        for first, second in ((own, other), (other, own))
    ]
    said = ask_seat(run, run_batch, seat, exchanges)
    agreed = iter(map(agree, said[::2], said[1::2]))
    return [
        _compared(seat, (names[0], name), own, list(islice(agreed, len(own))), resampling)
        for name, own in pairs.items()
    ]


def _compared(
    seat: Seat,
    names: tuple[str, str],
    pairs: Sequence[Pair],
    said: Sequence[Verdict],
    resampling: Resampling,
) -> Json:
    """Return one model's wins and losses, by what both orders of each pair say together."""
    baseline, model = names
    verdicts = {own.row_id: one.verdict for (own, _), one in zip(pairs, said, strict=True)}
    own = [own for own, _ in pairs]
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
        "undetermined": len(pairs) - sum(counts.values()),
        "net": estimate_json(stats.estimate(terms, resampling)),
        "p": round(stats.sign_flip_p(terms, resampling), DIGITS) if known else None,
    }


def _pairs(model: Sequence[Record], baseline: Sequence[Record]) -> list[Pair]:
    """Return the benign, plain, sampled answers of both models to the same item."""
    others = {record.item_id: record for record in baseline}
    return [
        (record, others[record.item_id])
        for record in model
        if record.label == "benign"
        and record.transform == PLAIN
        and record.decoding == "sampled"
        and record.suite != UTILITY
        and record.item_id in others
    ]


def _is(verdict: str, side: str) -> bool | None:
    return None if verdict == UNDETERMINED else verdict == side
