"""Which rows an arm is trained on: a pure function of their keys."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from synth.digest import digest
from train.config import Match


class Key(NamedTuple):
    """What identifies a row of a shard."""

    row_id: str
    seed_id: str
    arm: str
    label: str


def choose(keys: Iterable[Key], arms: Sequence[str], match: Match) -> dict[str, list[str]]:
    """Return each arm's `row_id`s, sorted.

    Under `seeds` all arms get the seeds for which every one has a row, and one row of each such
    seed, the one of the smallest `row_id`. Under `rows` they get as many rows as the arm with
    the fewest has, of each label as evenly as an arm's own rows allow.
    """
    rows: dict[str, list[Key]] = {arm: [] for arm in arms}
    for key in keys:
        if key.arm in rows:
            rows[key.arm].append(key)
    if match == "seeds":
        return _common_seeds(rows)
    if match == "rows":
        fewest = min(map(len, rows.values()))
        return {arm: spread(found, fewest) for arm, found in rows.items()}
    return {arm: sorted(key.row_id for key in found) for arm, found in rows.items()}


def _common_seeds(rows: dict[str, list[Key]]) -> dict[str, list[str]]:
    smallest = {arm: _smallest(found) for arm, found in rows.items()}
    common = set.intersection(*(set(by_seed) for by_seed in smallest.values()))
    return {arm: sorted(by_seed[seed] for seed in common) for arm, by_seed in smallest.items()}


def _smallest(keys: Iterable[Key]) -> dict[str, str]:
    """Return the smallest `row_id` of each seed."""
    by_seed: dict[str, str] = {}
    for key in keys:
        by_seed[key.seed_id] = min(key.row_id, by_seed.get(key.seed_id, key.row_id))
    return by_seed


def spread(keys: Iterable[Key], num_rows: int) -> list[str]:
    """Return `num_rows` ids, taken from the labels in turn, and within one by digest."""
    turns: dict[str, int] = {}
    ranked = []
    for key in sorted(keys, key=lambda key: digest("match", key.row_id)):
        turn = turns[key.label] = turns.get(key.label, -1) + 1
        ranked.append((turn, key.label, key.row_id))
    return sorted(row_id for _, _, row_id in sorted(ranked)[:num_rows])
