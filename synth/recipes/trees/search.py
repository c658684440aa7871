"""Safety-informed tree search over steps (STAIR, arXiv 2502.02384, Algorithm 1).

The rules of selecting, expanding, evaluating, backing up and stopping are those of the paper and
its released code; a plain reading of them is kept with the tests, and both give the same trees.

One thing is done in another order, with the same outcome: the new siblings of an expansion are
not only sampled but also evaluated together, at once. Every node is visited at least once in the
end, so no such evaluation is in vain, and it is backed up only when the search chooses its node.
The iterations themselves stay one after the other, and nothing is added to the values meanwhile.

A tree always ends. Iterations are counted, depth is bounded, and a node whose answer can not be
rated is left alone after a few tries. All that is drawn by chance here comes from one `Random`,
which callers seed with the item's identity; what the model writes is its own sampling.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from synth.calls.together import together
from synth.recipes.trees.tree import (
    ROOT,
    Evaluation,
    Node,
    Tree,
    add_child,
    new_tree,
    path_text,
    upwards,
)

UNVISITED = math.inf  # ours: the code has 100 c, which this is for rewards of any size


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a tree grows.

    Attributes:
        budget: Iterations.
        width: Steps sampled in an expansion.
        depth: Nodes as deep as this are not expanded.
        exploration: Weight c of what was seldom visited.
    """

    budget: int
    width: int
    depth: int
    exploration: float


class Sampled(NamedTuple):
    """What the model wrote, and where it stopped.

    `end` is `step` at the end of a step, `answer` where the answer or the turn ended, and `cut`
    where the tokens ran out.
    """

    text: str
    end: Literal["step", "answer", "cut"]


Sample = Callable[[str, bool], Awaitable[Sampled]]
"""Goes on from a text: by one step, or to the end of the answer where the flag is set."""

Score = Callable[[str, bool], Awaitable[Evaluation]]
"""Rates a whole turn of the model, and is told whether it was cut."""


async def grow(sample: Sample, score: Score, rules: Rules, random: Random) -> Tree:
    """Grow the tree of one prompt.

    Args:
        sample: Writes for the prompt.
        score: Rates for the prompt.
        rules: How it grows.
        random: Breaks ties.
    """
    tree = new_tree()
    for _ in range(rules.budget):
        if tree.nodes[ROOT].closed:
            break
        tree.counts["iterations"] += 1
        place = select(tree, ROOT, rules.exploration, random)
        if may_expand(tree.nodes[place], rules.depth):
            await expand(tree, place, rules.width, sample, score)
            place = select(tree, place, rules.exploration, random)
        back_up(tree, place, await evaluate(tree, place, sample, score))
    await visit_the_rest(tree, sample, score)
    return tree


def select(tree: Tree, place: int, exploration: float, random: Random) -> int:
    """Descend from a node to a leaf, by the best bound; chance decides between equals."""
    while True:
        node = tree.nodes[place]
        bounds = {
            child: upper_bound(tree.nodes[child], node, exploration)
            for child in node.children
            if not tree.nodes[child].closed
        }
        if not bounds:
            return place
        best = max(bounds.values())
        place = random.choice([child for child, bound in bounds.items() if bound == best])


def upper_bound(node: Node, parent: Node, exploration: float) -> float:
    """Return UCB: the node's value, and more for being seldom visited."""
    if node.value is None:
        return UNVISITED
    return node.value + exploration * math.sqrt(math.log(parent.visits) / node.visits)


def may_expand(node: Node, depth: int) -> bool:
    """Say whether a chosen node gets children now: at its second visit, and if it may."""
    return node.visits > 0 and not node.children and not node.terminal and node.depth < depth


async def expand(tree: Tree, place: int, width: int, sample: Sample, score: Score) -> None:
    """Give a node `width` children, less those that say the same; evaluate them ahead.

    Where the model's context is full nothing can be written, and no child comes of it.
    """
    tree.counts["expansions"] += 1
    before = path_text(tree, place)
    written = await together(sample(before, False) for _ in range(width))
    distinct = list(dict.fromkeys(step for step in written if step.text or step.end == "answer"))
    tree.counts["dropped"] += len(written) - len(distinct)
    tree.counts["cut_steps"] += sum(step.end == "cut" for step in distinct)
    children = [
        add_child(tree, place, step.text, terminal=step.end == "answer") for step in distinct
    ]
    found = await together(evaluate(tree, child, sample, score) for child in children)
    for child, evaluation in zip(children, found, strict=True):
        tree.nodes[child].ready = evaluation


async def evaluate(tree: Tree, place: int, sample: Sample, score: Score) -> Evaluation:
    """Return a node's next evaluation.

    A terminal node's reward is asked for once. From any other node the model writes on to the
    end in one go, and that is rated; where the tokens run out before the end, it is rated as it
    stands and marked as cut.
    """
    node = tree.nodes[place]
    if node.ready is not None:
        ready, node.ready = node.ready, None
        return ready
    if node.reward is not None:
        return Evaluation(node.reward)
    text = path_text(tree, place)
    if node.terminal:
        return await score(text, False)
    tree.counts["rollouts"] += 1
    rest = await sample(text, True)
    return await score(text + rest.text, rest.end == "cut")


def back_up(tree: Tree, place: int, evaluation: Evaluation) -> None:
    """Add an evaluation to a node and to all above it; one without a value counts as no visit."""
    node, value = tree.nodes[place], evaluation.value
    tree.counts["truncated"] += evaluation.cut
    tree.counts["unparsed_ratings"] += evaluation.unparsed
    if value is None:
        tree.counts["unrated"] += 1
        node.unrated += 1
        return
    if node.terminal:
        node.reward = value
    for above in upwards(tree, place):
        above.visits += 1
        above.value_sum += value


async def visit_the_rest(tree: Tree, sample: Sample, score: Score) -> None:
    """Visit every node once that never was, without expanding."""
    left = [at for at, node in enumerate(tree.nodes) if not node.visits and not node.closed]
    found = await together(evaluate(tree, place, sample, score) for place in left)
    for place, evaluation in zip(left, found, strict=True):
        back_up(tree, place, evaluation)
