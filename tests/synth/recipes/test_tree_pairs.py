"""Pairs of trees: thresholds by hand, and what holds for the pairs of any tree."""

import itertools
import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.recipes.pairs import Pair
from synth.recipes.trees.pairs import (
    MAX_REPETITION,
    Thresholds,
    by_prefix_value,
    by_step_value,
    by_trajectory,
)
from synth.recipes.trees.search import (
    Rules,
    Tree,
    add_child,
    grow,
    new_tree,
    pack_tree,
    path_text,
    unpack,
)
from synth.records import Message, unpack_context
from tests.synth.traces import make_trace
from tests.synth.tree_worlds import World

PUBLISHED = Thresholds(min_gap=0.5, min_value=0.8, min_visits=4, max_chars=8192)
SHORT = Thresholds(min_gap=0.5, min_value=0.8, min_visits=1, max_chars=120)


def family(*children: tuple[str, float, int, bool]) -> Tree:
    """A root with children: text, value, visits, whether it ends the turn."""
    tree = new_tree()
    for text, value, visits, terminal in children:
        node = tree.nodes[add_child(tree, 0, text, terminal=terminal)]
        node.visits, node.value_sum = visits, value * visits
        node.reward = value if terminal and visits else None
    return tree


def row_of(tree: Tree, **fields: Any) -> dict[str, Any]:
    return make_trace(payload={"round": 1, "tree": pack_tree(tree)}, **fields)


def sides(pairs: list[Pair]) -> list[tuple[str, str]]:
    return sorted((pair.chosen, pair.rejected) for pair in pairs)


def test_a_pair_needs_more_than_the_gap() -> None:
    tree = family(("a", 1.5, 4, False), ("b", 1.0, 4, False), ("c", 0.75, 4, False))
    assert sides(by_step_value([row_of(tree)], PUBLISHED)) == [("a", "c")]


def test_the_chosen_one_needs_its_own_value() -> None:
    tree = family(("a", 0.75, 4, False), ("b", -2.0, 4, False))
    assert by_step_value([row_of(tree)], PUBLISHED) == []
    tree = family(("a", 0.8, 1, True), ("b", -2.0, 4, False))
    assert sides(by_step_value([row_of(tree)], PUBLISHED)) == [("a", "b")]


def test_steps_need_visits_and_endings_do_not() -> None:
    tree = family(
        ("seldom", 3.0, 3, False), ("often", 3.0, 4, False), ("end", 3.0, 1, True),
        ("bad", -1.0, 3, False), ("bad end", -1.0, 1, True), ("never", 3.0, 0, True),
    )  # fmt: skip
    pairs = by_step_value([row_of(tree)], PUBLISHED)
    assert sides(pairs) == [("end", "bad end"), ("often", "bad end")]
    ends = {pair.chosen: (pair.chosen_ends, pair.rejected_ends) for pair in pairs}
    assert ends == {"end": (True, True), "often": (False, True)}


def test_what_siblings_share_stands_in_the_prompt() -> None:
    tree = family(("shared ", 1.0, 9, False))
    for text, value in (("good", 2.0), ("bad", -2.0)):
        node = tree.nodes[add_child(tree, 1, text, terminal=True)]
        node.visits, node.value_sum, node.reward = 1, value, value
    context = '[{"role": "system", "content": "Be brief."}]'
    row = row_of(tree, context=context)
    (pair,) = by_step_value([row], PUBLISHED)
    user = Message(role="user", content=row["prompt"])
    begun = Message(role="assistant", content="shared ")
    assert pair.prompt == (*unpack_context(context), user, begun)
    assert (pair.chosen, pair.rejected, pair.kind) == ("good", "bad", "step")
    (prefix,) = by_prefix_value([row], PUBLISHED)
    assert prefix.prompt == (*unpack_context(context), user)
    assert (prefix.chosen, prefix.rejected, prefix.kind) == ("shared good", "shared bad", "prefix")
    (whole,) = by_trajectory([row], PUBLISHED)
    assert (whole.chosen, whole.rejected, whole.kind) == ("shared good", "shared bad", "trajectory")


def test_steps_of_other_parents_are_never_compared() -> None:
    tree = family(("one", 1.0, 9, False), ("other", 1.0, 9, False))
    for parent, value in ((1, 2.0), (2, -2.0)):
        node = tree.nodes[add_child(tree, parent, f" worth {value}", terminal=True)]
        node.visits, node.value_sum, node.reward = 1, value, value
    assert by_step_value([row_of(tree)], PUBLISHED) == []
    assert by_prefix_value([row_of(tree)], PUBLISHED) == []


def test_a_reward_model_also_learns_from_what_is_merely_less_bad() -> None:
    tree = family(("a", -1.0, 4, False), ("b", -2.0, 4, False))
    assert by_step_value([row_of(tree)], PUBLISHED) == []
    assert sides(by_prefix_value([row_of(tree)], PUBLISHED)) == [("a", "b")]


def test_whole_turns_are_good_or_bad_by_their_reward() -> None:
    tree = family(
        ("good", 0.8, 1, True), ("so so", 0.5, 1, True), ("bad", 0.3, 1, True),
        ("worse", -3.0, 1, True), ("no end", 3.0, 9, False),
    )  # fmt: skip
    pairs = by_trajectory([row_of(tree)], PUBLISHED)
    assert sides(pairs) == [("good", "bad"), ("good", "worse")]


@pytest.mark.parametrize(("good", "bad", "expected"), [(1, 9, 4), (2, 3, 3), (3, 3, 3), (1, 1, 1)])
def test_the_rarer_kind_is_repeated_but_not_for_ever(good: int, bad: int, expected: int) -> None:
    ends = [(f"good {n}", 1.0, 1, True) for n in range(good)]
    tree = family(*ends, *((f"bad {n}", -1.0, 1, True) for n in range(bad)))
    pairs = by_trajectory([row_of(tree)], PUBLISHED)
    assert len(pairs) == expected
    assert max(Counter(pair.chosen for pair in pairs).values()) <= MAX_REPETITION


def test_texts_that_are_too_long_or_empty_are_in_no_pair() -> None:
    tree = family(("", 3.0, 1, True), ("a" * 200, 3.0, 1, True), ("b", -3.0, 1, True))
    assert sides(by_step_value([row_of(tree)], SHORT)) == []
    assert len(by_step_value([row_of(tree)], PUBLISHED)) == 1


def test_rows_without_a_tree_give_no_pair() -> None:
    assert by_step_value([make_trace()], PUBLISHED) == []


async def grown(seed: int) -> Tree:
    world = World(seed, words=6)
    rules = Rules(budget=25, width=4, depth=4, exploration=1.5)
    return await grow(world.sample, world.score, rules, Random(seed))


async def rows_of_a_few(seed: int) -> list[dict[str, Any]]:
    return [row_of(await grown(seed + n), prompt=f"Question {seed + n}?") for n in range(3)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 2), st.floats(-1, 2), st.integers(1, 5))
async def test_what_holds_for_every_pair(
    seed: int, min_gap: float, min_value: float, min_visits: int
) -> None:
    thresholds = Thresholds(
        min_gap=min_gap, min_value=min_value, min_visits=min_visits, max_chars=150
    )
    rows = await rows_of_a_few(seed)
    trees = {row["row_id"]: unpack(_payload(row)["tree"]) for row in rows}
    seeds = {row["row_id"]: row["seed_id"] for row in rows}
    for build in (by_step_value, by_prefix_value, by_trajectory):
        pairs = build(rows, thresholds)
        assert pairs == build(rows[::-1], thresholds)  # whatever the order of the rows
        assert len({pair.row_id for pair in pairs}) == len(pairs)  # none twice
        for pair in pairs:
            assert pair.chosen_id == pair.rejected_id
            assert seeds[pair.chosen_id] == pair.seed_id  # never across seeds
            tree = trees[pair.chosen_id]
            begun = pair.prompt[-1]["content"] if pair.prompt[-1]["role"] == "assistant" else ""
            better, worse = (
                _value(tree, begun + side, ends)
                for side, ends in (
                    (pair.chosen, pair.chosen_ends),
                    (pair.rejected, pair.rejected_ends),
                )
            )
            assert better - worse >= min_gap  # and so never of equal outcome
            if build is not by_prefix_value:
                assert better >= min_value
            assert sum(len(turn["content"]) for turn in pair.prompt) + len(pair.chosen) <= 150


def _payload(row: dict[str, Any]) -> dict[str, Any]:
    return json.loads(row["payload"])


def _value(tree: Tree, turn: str, ends: bool) -> float:
    for place, node in enumerate(tree.nodes):
        if path_text(tree, place) == turn and node.terminal == ends and node.value is not None:
            return node.value
    raise AssertionError(f"no node has the turn {turn!r}")


async def test_a_tree_survives_its_file() -> None:
    for seed in range(5):
        tree = await grown(seed)
        again = unpack(pack_tree(tree))
        shown = ("parent", "text", "depth", "terminal", "children", "visits", "value_sum", "reward")
        for one, two in itertools.zip_longest(tree.nodes, again.nodes):
            assert all(getattr(one, name) == getattr(two, name) for name in shown)
