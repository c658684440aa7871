"""The tree search: against a plain reading of the published rules, and by hand."""

import asyncio
import json
import math
from collections import Counter
from random import Random
from typing import Any

import pytest

from synth.calls.aio import gather_calls
from synth.errors import PoolDown
from synth.models.families import OUTPUT_OPEN, STEP_OPEN
from synth.recipes.surgery import OUTPUT_CLOSE, STEP_CLOSE
from synth.recipes.trees.pairs import Thresholds, by_step_value
from synth.recipes.trees.search import (
    UNVISITED,
    Node,
    NodeRating,
    Rules,
    Sampled,
    Tree,
    add_child,
    expand,
    grow,
    may_expand,
    new_tree,
    pack_tree,
    path_text,
    select_leaf,
    upper_bound,
    upwards,
)
from tests.synth.reference_search import plain_facts, plain_pairs, plain_search
from tests.synth.traces import make_trace
from tests.synth.tree_worlds import World

CASES = 200
RULES = Rules(budget=40, width=4, depth=7, exploration=1.5)


def facts(tree: Tree) -> dict[tuple[str, ...], Any]:
    def way(place: int) -> tuple[str, ...]:
        return tuple(node.text for node in reversed(list(upwards(tree, place))))[1:]

    return {
        way(place): (
            node.visits,
            node.value_sum,
            node.reward,
            node.terminal,
            [tree.nodes[child].text for child in node.children],
        )
        for place, node in enumerate(tree.nodes)
    }


def pairs_of(tree: Tree, thresholds: Thresholds) -> list[tuple[str, str, str, bool, bool]]:
    pairs = by_step_value([make_trace(payload={"tree": pack_tree(tree)})], thresholds)
    return sorted(
        (
            pair.prompt[1]["content"] if len(pair.prompt) > 1 else "",
            pair.chosen,
            pair.rejected,
            pair.chosen_ends,
            pair.rejected_ends,
        )
        for pair in pairs
    )


async def test_it_grows_the_trees_of_the_plain_search() -> None:
    seen: Counter[str] = Counter()
    for case in range(CASES):
        chance = Random(case)
        kind: dict[str, Any] = {
            "words": chance.choice([2, 4, 26]),
            "cut_share": chance.choice([0, 0, 0.2]),
            "unrated_share": chance.choice([0, 0, 0.3]),
        }
        rules = Rules(
            budget=chance.choice([1, 2, 10, 60]),
            width=chance.choice([2, 4]),
            depth=chance.choice([1, 3, 7]),
            exploration=chance.choice([0.0, 1.5]),
        )
        mine, theirs = World(case, **kind), World(case, **kind)
        tree = await grow(mine.sample, mine.score, rules, Random(case))
        root = plain_search(
            theirs.write,
            theirs.rate,
            budget=rules.budget,
            width=rules.width,
            depth=rules.depth,
            c=rules.exploration,
            random=Random(case),
        )
        assert facts(tree) == plain_facts(root), case
        assert mine.asked == theirs.asked, case  # nothing is asked in vain
        limits = {"min_gap": 0.5, "min_value": 0.8, "min_visits": 4}
        found = pairs_of(tree, Thresholds(**limits, max_chars=10**6))
        assert found == plain_pairs(root, gap=0.5, floor=0.8, visits=4), case
        seen.update(tree.counts | {"pairs": len(found), "nodes": len(tree.nodes)})
    told = ("pairs", "dropped", "cut_steps", "truncated", "unrated")
    assert all(seen[name] > 20 for name in told), seen  # the cases are not empty ones


async def test_the_same_chance_grows_the_same_tree() -> None:
    first, second = World(7), World(7)
    one = await grow(first.sample, first.score, RULES, Random(3))
    two = await grow(second.sample, second.score, RULES, Random(3))
    assert json.dumps(pack_tree(one)) == json.dumps(pack_tree(two))


def test_the_bound_by_hand() -> None:
    parent = Node(parent=None, text="", depth=0, visits=16, value_sum=3.0)
    child = Node(parent=0, text="a", depth=1, visits=4, value_sum=2.0)
    # 2/4 + 1.5 * sqrt(ln 16 / 4) = 0.5 + 1.5 * sqrt(2.772589 / 4) = 0.5 + 1.5 * 0.832555
    assert upper_bound(child, parent, 1.5) == pytest.approx(1.748832, abs=1e-6)
    assert upper_bound(child, parent, 0.0) == 0.5
    assert upper_bound(Node(parent=0, text="b", depth=1), parent, 1.5) == UNVISITED
    only = Node(parent=None, text="", depth=0, visits=1)
    assert upper_bound(Node(parent=0, text="c", depth=1, visits=1), only, 1.5) == 0.0  # ln 1 = 0


def two_children(*, visits: tuple[int, int], sums: tuple[float, float]) -> Tree:
    tree = new_tree()
    for text, n, total in zip("ab", visits, sums, strict=True):
        child = tree.nodes[add_child(tree, 0, text, terminal=False)]
        child.visits, child.value_sum = n, total
    tree.nodes[0].visits = sum(visits) + 1
    return tree


def test_the_better_bound_is_chosen() -> None:
    # a: 1 + 1.5 * sqrt(ln 12 / 10) = 1.748; b: 0.5 + 1.5 * sqrt(ln 12 / 1) = 2.865
    tree = two_children(visits=(10, 1), sums=(10.0, 0.5))
    assert select_leaf(tree, 0, 1.5, Random(0)) == 2
    assert select_leaf(tree, 0, 0.0, Random(0)) == 1  # by value alone


def test_what_was_never_visited_comes_first() -> None:
    tree = two_children(visits=(1, 0), sums=(10**6, 0.0))
    assert select_leaf(tree, 0, 1.5, Random(0)) == 2


def test_chance_decides_between_equals() -> None:
    tree = two_children(visits=(0, 0), sums=(0.0, 0.0))
    chance = Random(0)
    assert Counter(select_leaf(tree, 0, 1.5, chance) for _ in range(100)).keys() == {1, 2}


@pytest.mark.parametrize(
    ("visits", "children", "terminal", "depth", "allowed"),
    [
        (1, [], False, 6, True),
        (0, [], False, 6, False),  # its first visit only evaluates it
        (1, [], True, 6, False),
        (1, [], False, 7, False),
        (1, [3], False, 6, False),
    ],
)
def test_when_a_node_is_expanded(
    visits: int, children: list[int], terminal: bool, depth: int, allowed: bool
) -> None:
    node = Node(0, "a", depth, terminal=terminal, visits=visits, children=children)
    assert may_expand(node, 7) is allowed


async def never_ends(turn: str, to_the_end: bool) -> Sampled:
    if to_the_end:
        return Sampled("and so on", "cut")
    return Sampled(f"{STEP_OPEN}{Random(turn).random()}{STEP_CLOSE}", "step")


async def plain_score(turn: str, cut: bool) -> NodeRating:
    return NodeRating(0.0, cut)


async def test_one_iteration_visits_the_root_alone() -> None:
    tree = await grow(
        never_ends, plain_score, Rules(budget=1, width=4, depth=7, exploration=1.5), Random(0)
    )
    assert [node.visits for node in tree.nodes] == [1]
    assert tree.counts == {"iterations": 1, "rollouts": 1, "truncated": 1, "unparsed_ratings": 0}


async def test_the_second_iteration_expands_and_the_rest_is_visited_in_the_end() -> None:
    world = World(1, words=26)
    rules = Rules(budget=2, width=4, depth=7, exploration=1.5)
    tree = await grow(world.sample, world.score, rules, Random(0))
    children = len(tree.nodes[0].children)
    assert children >= 2
    assert [node.visits for node in tree.nodes] == [1 + children, *[1] * children]
    assert tree.counts["iterations"] == 2


async def test_a_turn_that_never_ends_is_bounded_and_counted() -> None:
    rules = Rules(budget=30, width=3, depth=4, exploration=1.5)
    tree = await grow(never_ends, plain_score, rules, Random(0))
    assert max(node.depth for node in tree.nodes) == 4
    assert tree.counts["iterations"] == 30
    assert tree.counts["truncated"] == tree.counts["rollouts"] > 0
    assert tree.counts["dropped"] == 2 * tree.counts["expansions"]  # all siblings say the same
    assert all(node.visits for node in tree.nodes)


async def test_a_full_context_grows_no_further() -> None:
    async def full(turn: str, to_the_end: bool) -> Sampled:
        return Sampled("", "cut")

    tree = await grow(full, plain_score, RULES, Random(0))
    assert len(tree.nodes) == 1
    assert tree.nodes[0].visits == RULES.budget


async def test_an_ending_is_rated_once() -> None:
    asked: Counter[str] = Counter()

    async def ends(turn: str, to_the_end: bool) -> Sampled:
        return Sampled(f"{OUTPUT_OPEN}yes{OUTPUT_CLOSE}", "answer")

    async def score(turn: str, cut: bool) -> NodeRating:
        asked[turn] += 1
        return NodeRating(1.0, cut)

    tree = await grow(ends, score, RULES, Random(0))
    ending = tree.nodes[1]
    assert (ending.terminal, ending.reward, ending.visits) == (True, 1.0, RULES.budget - 1)
    assert asked.total() == 2  # the root's rollout, and the ending itself


async def test_what_can_not_be_rated_gets_no_value_and_is_given_up() -> None:
    calls = 0

    async def unreadable(turn: str, cut: bool) -> NodeRating:
        nonlocal calls
        calls += 1
        return NodeRating(None, cut, 2)

    tree = await grow(never_ends, unreadable, RULES, Random(0))
    assert (calls, len(tree.nodes), tree.nodes[0].visits) == (3, 1, 0)
    assert tree.counts["unrated"] == 3
    assert tree.counts["unparsed_ratings"] == 6


async def test_siblings_are_sampled_and_rated_together() -> None:
    sampling, rating = asyncio.Barrier(4), asyncio.Barrier(4)

    async def sample(turn: str, to_the_end: bool) -> Sampled:
        number = await sampling.wait()
        return Sampled(f"{OUTPUT_OPEN}{number}{OUTPUT_CLOSE}", "answer")

    async def score(turn: str, cut: bool) -> NodeRating:
        await rating.wait()
        return NodeRating(1.0, cut)

    tree = new_tree()
    async with asyncio.timeout(30):
        await expand(tree, 0, 4, sample, score)
    assert len(tree.nodes) == 5
    assert all(node.ready == NodeRating(1.0) for node in tree.nodes[1:])


async def test_a_fault_is_raised_as_it_is_and_nothing_runs_on() -> None:
    running = 0

    async def call(number: int) -> None:
        nonlocal running
        if number == 2:
            raise PoolDown("the pool has answered nothing")
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1

    with pytest.raises(PoolDown):
        await gather_calls(call(number) for number in range(4))
    assert running == 0


async def test_values_are_the_means_of_what_was_backed_up() -> None:
    world = World(11)
    tree = await grow(world.sample, world.score, RULES, Random(0))
    for place, node in enumerate(tree.nodes):
        below = sum(tree.nodes[child].visits for child in node.children)
        assert node.visits >= max(below, 1), path_text(tree, place)
        assert node.value is not None
        assert math.isclose(node.value, node.value_sum / node.visits)
