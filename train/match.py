"""Which rows an arm is trained on: a pure function of their keys."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Match = Literal["seeds"] | None


class Key(NamedTuple):
    """What identifies a row of a shard."""

    row_id: str
    seed_id: str
    arm: str


def choose(keys: Iterable[Key], arms: Sequence[str], match: Match) -> dict[str, list[str]]:
    """Return each arm's `row_id`s, sorted.

    Under `seeds` the arms are compared fairly: all of them get the seeds for which every one
    has a row, and one row of each such seed, the one of the smallest `row_id`.
    """
    rows: dict[str, list[Key]] = {arm: [] for arm in arms}
    for key in keys:
        if key.arm in rows:
            rows[key.arm].append(key)
    if match is None:
        return {arm: sorted(key.row_id for key in found) for arm, found in rows.items()}
    smallest = {arm: _smallest(found) for arm, found in rows.items()}
    common = set.intersection(*(set(by_seed) for by_seed in smallest.values()))
    return {arm: sorted(by_seed[seed] for seed in common) for arm, by_seed in smallest.items()}


def _smallest(keys: Iterable[Key]) -> dict[str, str]:
    """Return the smallest `row_id` of each seed."""
    by_seed: dict[str, str] = {}
    for key in keys:
        by_seed[key.seed_id] = min(key.row_id, by_seed.get(key.seed_id, key.row_id))
    return by_seed
