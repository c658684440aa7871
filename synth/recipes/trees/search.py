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

A tree is plain data. Nodes stand in one list and know each other by their place in it; the root is
the first one and has no text. A node's own text is a step; what the model has written so far is
the text of its path.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, NamedTuple

from synth.calls.aio import gather_calls

ROOT = 0  # ours: the place of the root in the list
MAX_UNRATED = 3  # ours: evaluations of a node that may fail to give a value

UNVISITED = math.inf  # ours: the code has 100 c, which this is for rewards of any size


class NodeRating(NamedTuple):
    """What one look at a node gave.

    Attributes:
        value: The reward, or None where it could not be told.
        cut: Whether the text that was rated breaks off, for its rollout ran out of tokens.
        unparsed: Ratings asked for on the way that could not be read.
    """

    value: float | None
    cut: bool = False
    unparsed: int = 0


@dataclass(slots=True)
class Node:
    """One step.

    Attributes:
        parent: Place of the node it goes on from; None for the root.
        text: What the model wrote for it, marks and all.
        depth: Steps from the root.
        terminal: Whether the answer ends with it.
        children: Places of the steps that were tried after it.
        visits: How often a value was backed up through it.
        value_sum: The sum of those.
        reward: Of a terminal node, once it is known: it is asked for once.
        unrated: Evaluations that gave no value.
        ready: Its first evaluation, made along with its siblings' and not yet backed up.
    """

    parent: int | None
    text: str
    depth: int
    terminal: bool = False
    children: list[int] = field(default_factory=list)
    visits: int = 0
    value_sum: float = 0.0
    reward: float | None = None
    unrated: int = 0
    ready: NodeRating | None = None

    @property
    def value(self) -> float | None:
        """The mean of what was backed up, or None while nothing was."""
        return self.value_sum / self.visits if self.visits else None

    @property
    def closed(self) -> bool:
        """Whether it was never visited and is not to be: no value could be told so often."""
        return not self.visits and self.unrated >= MAX_UNRATED


@dataclass(slots=True)
class Tree:
    """Nodes, and how often what happened.

    Attributes:
        nodes: The root first, every node after its parent.
        counts: `iterations`, `expansions`, `dropped` (siblings that say the same as another, or
            nothing), `cut_steps` (steps that ran out of tokens: the next one goes on from there),
            `rollouts`, `truncated` (those that ran out of tokens, rated as they stand),
            `unrated` (evaluations without a value) and `unparsed_ratings`.
    """

    nodes: list[Node]
    counts: Counter[str] = field(default_factory=Counter)


def new_tree() -> Tree:
    """Return a tree of a root alone."""
    return Tree([Node(parent=None, text="", depth=0)])


def add_child(tree: Tree, parent: int, text: str, *, terminal: bool) -> int:
    """Add a step after the node `parent`; return its place."""
    depth = tree.nodes[parent].depth + 1
    tree.nodes.append(Node(parent=parent, text=text, depth=depth, terminal=terminal))
    place = len(tree.nodes) - 1
    tree.nodes[parent].children.append(place)
    return place


def upwards(tree: Tree, place: int) -> Iterator[Node]:
    """Yield a node, its parent, and so on up to the root."""
    at: int | None = place
    while at is not None:
        yield tree.nodes[at]
        at = tree.nodes[at].parent


def path_text(tree: Tree, place: int) -> str:
    """Return what the model has written once it has come to a node."""
    return "".join(node.text for node in reversed(list(upwards(tree, place))))


def best_end(tree: Tree) -> int | None:
    """Return the terminal node of the highest reward, the most visited one of several; or None."""
    nodes = tree.nodes
    ends = [place for place, node in enumerate(nodes) if node.reward is not None]
    return max(ends, key=lambda place: (nodes[place].reward, nodes[place].visits), default=None)


def pack_tree(tree: Tree) -> dict[str, list[Any]]:
    """Return the nodes as JSON data, a list for each of their fields that a reader needs."""
    nodes = tree.nodes
    return {
        "parent": [node.parent for node in nodes],
        "text": [node.text for node in nodes],
        "terminal": [int(node.terminal) for node in nodes],
        "visits": [node.visits for node in nodes],
        "value_sum": [node.value_sum for node in nodes],
        "reward": [node.reward for node in nodes],
    }


def unpack(data: Mapping[str, list[Any]]) -> Tree:
    """Invert `pack_tree`."""
    columns = (data[name] for name in ("parent", "text", "terminal", "visits", "value_sum"))
    tree = new_tree()
    for parent, text, terminal, *_ in list(zip(*columns, strict=True))[1:]:
        add_child(tree, parent, text, terminal=bool(terminal))
    visited = zip(tree.nodes, data["visits"], data["value_sum"], data["reward"], strict=True)
    for node, visits, value_sum, reward in visited:
        node.visits, node.value_sum, node.reward = visits, value_sum, reward
    return tree


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

RateTurn = Callable[[str, bool], Awaitable[NodeRating]]
"""Rates a whole turn of the model, and is told whether it was cut."""


async def grow(sample: Sample, score: RateTurn, rules: Rules, random: Random) -> Tree:
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
        place = select_leaf(tree, ROOT, rules.exploration, random)
        if may_expand(tree.nodes[place], rules.depth):
            await expand(tree, place, rules.width, sample, score)
            place = select_leaf(tree, place, rules.exploration, random)
        back_up(tree, place, await evaluate_node(tree, place, sample, score))
    await visit_the_rest(tree, sample, score)
    return tree


def select_leaf(tree: Tree, place: int, exploration: float, random: Random) -> int:
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


async def expand(tree: Tree, place: int, width: int, sample: Sample, score: RateTurn) -> None:
    """Give a node `width` children, less those that say the same; evaluate them ahead.

    Where the model's context is full nothing can be written, and no child comes of it.
    """
    tree.counts["expansions"] += 1
    before = path_text(tree, place)
    written = await gather_calls(sample(before, False) for _ in range(width))
    distinct = list(dict.fromkeys(step for step in written if step.text or step.end == "answer"))
    tree.counts["dropped"] += len(written) - len(distinct)
    tree.counts["cut_steps"] += sum(step.end == "cut" for step in distinct)
    children = [
        add_child(tree, place, step.text, terminal=step.end == "answer") for step in distinct
    ]
    found = await gather_calls(evaluate_node(tree, child, sample, score) for child in children)
    for child, evaluation in zip(children, found, strict=True):
        tree.nodes[child].ready = evaluation


async def evaluate_node(tree: Tree, place: int, sample: Sample, score: RateTurn) -> NodeRating:
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
        return NodeRating(node.reward)
    text = path_text(tree, place)
    if node.terminal:
        return await score(text, False)
    tree.counts["rollouts"] += 1
    rest = await sample(text, True)
    return await score(text + rest.text, rest.end == "cut")


def back_up(tree: Tree, place: int, evaluation: NodeRating) -> None:
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


async def visit_the_rest(tree: Tree, sample: Sample, score: RateTurn) -> None:
    """Visit every node once that never was, without expanding."""
    left = [at for at, node in enumerate(tree.nodes) if not node.visits and not node.closed]
    found = await gather_calls(evaluate_node(tree, place, sample, score) for place in left)
    for place, evaluation in zip(left, found, strict=True):
        back_up(tree, place, evaluation)
