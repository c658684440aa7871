"""A search tree over reasoning steps, as plain data.

Nodes stand in one list and know each other by their place in it; the root is the first one and
has no text. A node's own text is a step; what the model has written so far is the text of its
path.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ROOT = 0  # ours: the place of the root in the list
MAX_UNRATED = 3  # ours: evaluations of a node that may fail to give a value


class Evaluation(NamedTuple):
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
    ready: Evaluation | None = None

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


def pack(tree: Tree) -> dict[str, list[Any]]:
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
    """Invert `pack`."""
    columns = (data[name] for name in ("parent", "text", "terminal", "visits", "value_sum"))
    tree = new_tree()
    for parent, text, terminal, *_ in list(zip(*columns, strict=True))[1:]:
        add_child(tree, parent, text, terminal=bool(terminal))
    visited = zip(tree.nodes, data["visits"], data["value_sum"], data["reward"], strict=True)
    for node, visits, value_sum, reward in visited:
        node.visits, node.value_sum, node.reward = visits, value_sum, reward
    return tree
