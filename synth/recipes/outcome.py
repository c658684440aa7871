"""Outcome pairs: of one prompt's samples, those that ended well over those that did not."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, product
from typing import Any

from synth.digest import digest
from synth.recipes.completion import completion_text
from synth.recipes.pairs_base import Pair
from synth.records import seed_of

Row = Mapping[str, Any]


def think_text(row: Row) -> str:
    """Return a trace as a student writes it that reasons in think tags."""
    return completion_text("think", row["reasoning"], row["answer"])


def by_outcome(
    rows: Iterable[Row],
    good: Callable[[Row], bool | None],
    *,
    text: Callable[[Row], str] = think_text,
    per_seed: int | None = None,
    shortest: bool = False,
) -> list[Pair]:
    """Return pairs of one seed's traces, a good one over a bad one.

    A prompt whose samples all end alike gives no pair. Samples of equal text count once, and not
    at all where they were judged differently. Which pairs are taken is told by digests, so that
    neither the order of the rows nor a clock has a say.

    Args:
        rows: Traces, of any seeds.
        good: How a trace ended; one that it has no verdict on (None) is in no pair.
        text: The text of a trace, as the student is to write it.
        per_seed: So many pairs of a seed at most; None takes all.
        shortest: The chosen side is always the shortest of the good ones.
    """
    seeds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        seeds[row["seed_id"]].append(row)
    pairs = []
    for _, samples in sorted(seeds.items()):
        chosen, rejected = _sides(samples, good, text)
        if shortest:
            chosen = sorted(chosen, key=lambda row: (len(text(row)), row["row_id"]))[:1]
        both = sorted(product(chosen, rejected), key=_lot)
        pairs += [make_pair(*sides, text, "outcome") for sides in islice(both, per_seed)]
    return pairs


def make_pair(chosen: Row, rejected: Row, text: Callable[[Row], str], kind: str) -> Pair:
    """Return the pair of two traces of one seed, both as whole completions.

    Raises:
        ValueError: They are of different seeds.
    """
    seed = seed_of(chosen)
    if rejected["seed_id"] != seed.seed_id:
        raise ValueError(f"a pair of two seeds, {seed.seed_id} and {rejected['seed_id']}")
    return Pair(
        seed_id=seed.seed_id,
        label=seed.label,
        category=seed.category,
        prompt=tuple(seed.messages),
        chosen=text(chosen),
        rejected=text(rejected),
        kind=kind,
        chosen_id=chosen["row_id"],
        rejected_id=rejected["row_id"],
    )


def _sides(
    samples: Sequence[Row], good: Callable[[Row], bool | None], text: Callable[[Row], str]
) -> tuple[list[Row], list[Row]]:
    """Return the good and the bad ones, one of each text, in the order of `row_id`."""
    verdicts: dict[str, set[bool]] = defaultdict(set)
    first: dict[str, Row] = {}
    for row in sorted(samples, key=lambda row: row["row_id"]):
        if (verdict := good(row)) is not None:
            verdicts[text(row)].add(verdict)
            first.setdefault(text(row), row)
    chosen = [row for told, row in first.items() if verdicts[told] == {True}]
    rejected = [row for told, row in first.items() if verdicts[told] == {False}]
    return chosen, rejected


def _lot(sides: tuple[Row, Row]) -> str:
    chosen, rejected = sides
    return digest("outcome", chosen["row_id"], rejected["row_id"])
