"""The load that both sides of the tree bench carry, and what a side made of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is grown.

    Attributes:
        trees: Number of trees, one a prompt.
        budget: Iterations of a tree.
        width: Siblings of an expansion.
        step_tokens: Most tokens of a step.
        rollout_tokens: Most tokens of a rollout.
        max_num_seqs: Sequences the engine runs at once.
    """

    trees: int = 16
    budget: int = 8
    width: int = 4
    step_tokens: int = 24
    rollout_tokens: int = 48
    max_num_seqs: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """What one side made of it, loading excluded."""

    seconds: float
    trees: int
    nodes: int
    calls: int
    output_tokens: int
    prefix_queries: int
    prefix_hits: int

    @property
    def trees_per_min(self) -> float:
        """Trees a minute."""
        return 60 * self.trees / self.seconds

    @property
    def hit_rate(self) -> float:
        """Share of the prompt tokens that the prefix cache held."""
        return self.prefix_hits / self.prefix_queries
