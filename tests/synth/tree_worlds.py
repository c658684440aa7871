"""Worlds for tree searches: what a model writes and is rated is a function of what is there."""

from collections import Counter
from random import Random
from typing import Literal

from synth.models.families import OUTPUT_OPEN, STEP_OPEN
from synth.recipes.surgery import OUTPUT_CLOSE, STEP_CLOSE
from synth.recipes.trees.search import NodeRating, Sampled

End = Literal["step", "answer", "cut"]


class World:
    """A scripted model: the n-th text after a turn, and a turn's rating, never change.

    Attributes:
        words: How many different steps there are at most: few make identical siblings.
        cut_share: How often a text breaks off.
        unrated_share: How many turns have no readable rating.
    """

    def __init__(
        self, seed: int, *, words: int = 4, cut_share: float = 0.0, unrated_share: float = 0.0
    ) -> None:
        self.seed, self.words = seed, words
        self.cut_share, self.unrated_share = cut_share, unrated_share
        self.asked: Counter[tuple[str, bool]] = Counter()

    def write(self, turn: str, to_the_end: bool) -> tuple[str, End]:
        number = self.asked[turn, to_the_end]
        self.asked[turn, to_the_end] += 1
        chance = Random(f"{self.seed}|{turn}|{to_the_end}|{number}")
        word = chr(ord("a") + chance.randrange(self.words))
        if chance.random() < self.cut_share:
            return chance.choice(["", f"~{word}~"]), "cut"
        if to_the_end or chance.random() < 0.25:
            return f"{OUTPUT_OPEN}{word}{OUTPUT_CLOSE}", "answer"
        return f"{STEP_OPEN}{word}{STEP_CLOSE}", "step"

    def rate(self, turn: str, cut: bool) -> float | None:
        chance = Random(f"{self.seed}|{turn}|{cut}")
        if chance.random() < self.unrated_share:
            return None
        return chance.randrange(-12, 13) / 4  # exact in binary: sums do not depend on their order

    async def sample(self, turn: str, to_the_end: bool) -> Sampled:
        return Sampled(*self.write(turn, to_the_end))

    async def score(self, turn: str, cut: bool) -> NodeRating:
        return NodeRating(self.rate(turn, cut), cut)
