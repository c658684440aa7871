"""Pairs out of search trees (STAIR, arXiv 2502.02384, step-level preferences; released code).

A row is the trace of a search; its payload holds the tree (`synth.recipes.trees.search`). Pairs
of steps compare siblings, and what they share stands in the prompt as the beginning of the
assistant's turn. Pairs of trajectories compare whole turns of one tree. Pairs of prefixes compare
siblings as well, but from the beginning of the turn: a process reward model reads a turn so far.

A step without text (the turn ended there) is no side of a pair.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Literal

from synth.recipes.pairs import Pair
from synth.recipes.trees.search import Tree, path_text, unpack
from synth.records import Message, TraceRow, seed_of

MAX_REPETITION = 4  # code: how often a turn of the rarer kind may stand in pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What makes two nodes a pair.

    Attributes:
        min_gap: The chosen one's value exceeds the other's by more than this.
        min_value: The chosen one's own value is not below this.
        min_visits: Of nodes that do not end the turn; those that do need one, as any.
        max_chars: Of the conversation and the turn up to the node.
    """

    min_gap: float
    min_value: float
    min_visits: int
    max_chars: int


@dataclass(frozen=True, slots=True)
class _Grown:
    """A row, the conversation it is about, and the tree that grew from it."""

    row: TraceRow
    messages: tuple[Message, ...]
    tree: Tree


def by_step_value(rows: Sequence[TraceRow], thresholds: Thresholds) -> list[Pair]:
    """Pair siblings by value; what they share goes into the prompt (step-level DPO)."""
    return [
        _pair(grown, "step", better, worse, shared=parent)
        for grown in _trees(rows)
        for parent, better, worse in _siblings(grown, thresholds, thresholds.min_value)
    ]


def by_prefix_value(rows: Sequence[TraceRow], thresholds: Thresholds) -> list[Pair]:
    """Pair siblings by value, each with all before it; the better one need not be good."""
    return [
        _pair(grown, "prefix", better, worse)
        for grown in _trees(rows)
        for _, better, worse in _siblings(grown, thresholds, -float("inf"))
    ]


def by_trajectory(rows: Sequence[TraceRow], thresholds: Thresholds) -> list[Pair]:
    """Pair whole turns of one tree, good with bad, in an order that its row's identity gives.

    Turns of the rarer kind stand in several pairs, `MAX_REPETITION` at most.
    """
    pairs: list[Pair] = []
    for grown in _trees(rows):
        good, bad = _ended(grown, thresholds)
        if not good or not bad:
            continue
        chance = Random(grown.row["row_id"])
        chance.shuffle(good)
        chance.shuffle(bad)
        rarer, other = sorted((good, bad), key=len)
        rarer *= min(len(other) // len(rarer) + 1, MAX_REPETITION)
        both = zip(good, bad, strict=False)
        pairs += [_pair(grown, "trajectory", better, worse) for better, worse in both]
    return pairs


def _trees(rows: Sequence[TraceRow]) -> Iterator[_Grown]:
    """Yield the trees of rows that hold one, in the order of their identities."""
    for row in sorted(rows, key=lambda row: row["row_id"]):
        if (packed := json.loads(row["payload"]).get("tree")) is not None:
            yield _Grown(row, tuple(seed_of(row).messages), unpack(packed))


def _siblings(
    grown: _Grown, thresholds: Thresholds, min_value: float
) -> Iterator[tuple[int, int, int]]:
    """Yield parents with two of their children, the better one first."""
    nodes = grown.tree.nodes
    for parent, node in enumerate(nodes):
        values = {
            child: value
            for child in node.children
            if (value := nodes[child].value) is not None
            and (nodes[child].terminal or nodes[child].visits >= thresholds.min_visits)
            and _has_room(grown, child, thresholds.max_chars)
        }
        for better, worse in permutations(values, 2):
            gap = values[better] - values[worse]
            if gap > thresholds.min_gap and values[better] >= min_value:
                yield parent, better, worse


def _ended(grown: _Grown, thresholds: Thresholds) -> tuple[list[int], list[int]]:
    """Return the nodes that end a turn, good ones and bad ones."""
    rewards = {
        place: node.reward
        for place, node in enumerate(grown.tree.nodes)
        if node.reward is not None and _has_room(grown, place, thresholds.max_chars)
    }
    bad_from = thresholds.min_value - thresholds.min_gap
    good = [place for place, reward in rewards.items() if reward >= thresholds.min_value]
    return good, [place for place, reward in rewards.items() if reward <= bad_from]


def _has_room(grown: _Grown, place: int, max_chars: int) -> bool:
    """Say whether a node has text, and its turn up to there is no longer than it may be."""
    asked = sum(len(message["content"]) for message in grown.messages)
    written = len(path_text(grown.tree, place))
    return bool(grown.tree.nodes[place].text.strip()) and asked + written <= max_chars


def _pair(
    grown: _Grown,
    kind: Literal["step", "prefix", "trajectory"],
    better: int,
    worse: int,
    shared: int | None = None,
) -> Pair:
    """Return a pair of two nodes: of their own texts after `shared`, or of the whole turns."""
    nodes, row = grown.tree.nodes, grown.row
    before = path_text(grown.tree, shared) if shared is not None else ""
    begun = (Message(role="assistant", content=before),) if before else ()

    def side(place: int) -> str:
        return path_text(grown.tree, place).removeprefix(before)

    return Pair(
        seed_id=row["seed_id"],
        label=row["label"],
        category=row["category"],
        prompt=(*grown.messages, *begun),
        chosen=side(better),
        rejected=side(worse),
        kind=kind,
        chosen_id=row["row_id"],
        rejected_id=row["row_id"],
        chosen_ends=nodes[better].terminal,
        rejected_ends=nodes[worse].terminal,
    )
