"""A slow and plain reading of STAIR's published search, to hold the real one against.

One node after the other, one call after the other, every node an object that knows its parent,
nothing made ahead. It is written from the paper's pseudo-code and shares nothing with
`synth/trees` but its questions to the model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

HUGE = 1000.0
GIVE_UP = 3

Write = Callable[[str, bool], tuple[str, str]]  # (turn so far, to the end) -> (text, how it ended)
Rate = Callable[[str, bool], float | None]  # (turn, was it cut) -> reward


@dataclass(eq=False)
class PlainNode:
    parent: "PlainNode | None"
    text: str
    ends: bool
    children: list["PlainNode"] = field(default_factory=list)
    n: int = 0
    total: float = 0.0
    reward: float | None = None
    failures: int = 0

    def turn(self) -> str:
        return self.text if self.parent is None else self.parent.turn() + self.text

    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth() + 1

    def mean(self) -> float:
        return self.total / self.n

    def given_up(self) -> bool:
        return self.n == 0 and self.failures >= GIVE_UP


def plain_search(
    write: Write, rate: Rate, *, budget: int, width: int, depth: int, c: float, random: Random
) -> PlainNode:
    """Grow a tree; return its root."""
    root = PlainNode(None, "", False)
    for _ in range(budget):
        if root.given_up():
            break
        leaf = walk_down(root, c, random)
        if leaf.n > 0 and not leaf.ends and leaf.depth() < depth and leaf.children == []:
            sprout(leaf, width, write)
            leaf = walk_down(leaf, c, random)
        visit(leaf, write, rate)
    for node in everything(root):
        if node.n == 0 and not node.given_up():
            visit(node, write, rate)
    return root


def walk_down(node: PlainNode, c: float, random: Random) -> PlainNode:
    while True:
        open_children = [child for child in node.children if not child.given_up()]
        if not open_children:
            return node
        scores = []
        for child in open_children:
            if child.n == 0:
                scores.append(HUGE)
            else:
                scores.append(child.mean() + c * math.sqrt(math.log(node.n) / child.n))
        winners = [
            child for child, s in zip(open_children, scores, strict=True) if s == max(scores)
        ]
        node = random.choice(winners)


def sprout(leaf: PlainNode, width: int, write: Write) -> None:
    for _ in range(width):
        text, end = write(leaf.turn(), False)
        if text == "" and end == "cut":
            continue
        if text not in [child.text for child in leaf.children]:
            leaf.children.append(PlainNode(leaf, text, end == "answer"))


def visit(node: PlainNode, write: Write, rate: Rate) -> None:
    if node.reward is not None:
        value: float | None = node.reward
    elif node.ends:
        value = rate(node.turn(), False)
    else:
        text, end = write(node.turn(), True)
        value = rate(node.turn() + text, end == "cut")
    if value is None:
        node.failures += 1
        return
    if node.ends:
        node.reward = value
    up: PlainNode | None = node
    while up is not None:
        up.n += 1
        up.total += value
        up = up.parent


def everything(node: PlainNode) -> list[PlainNode]:
    found = [node]
    for child in node.children:
        found += everything(child)
    return found


def plain_facts(root: PlainNode) -> dict[tuple[str, ...], Any]:
    """Return what the tree says, by the texts on the way to each node."""

    def way(node: PlainNode) -> tuple[str, ...]:
        return () if node.parent is None else (*way(node.parent), node.text)

    return {
        way(node): (node.n, node.total, node.reward, node.ends, [c.text for c in node.children])
        for node in everything(root)
    }


def plain_pairs(
    root: PlainNode, *, gap: float, floor: float, visits: int
) -> list[tuple[str, str, str, bool, bool]]:
    """Return (shared turn, chosen, rejected, chosen ends, rejected ends), sorted."""
    pairs = []
    for node in everything(root):
        fit = [c for c in node.children if c.n and (c.ends or c.n >= visits)]
        for i in fit:
            for j in fit:
                if i.mean() - j.mean() > gap and i.mean() >= floor:
                    pairs.append((node.turn(), i.text, j.text, i.ends, j.ends))
    return sorted(pairs)
