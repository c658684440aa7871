"""The arithmetic of the tree bench; what it measures is measured by hand."""

from tests.bench.trees import Pair, summarize
from tests.bench.trees_load import Grown, Load


def grown(seconds: float) -> Grown:
    return Grown(
        seconds=seconds,
        trees=16,
        nodes=100,
        calls=200,
        output_tokens=5_000,
        prefix_queries=1_000,
        prefix_hits=250,
    )


def test_the_ratio_is_of_trees_a_minute() -> None:
    pairs = [Pair(grown(30), grown(slow)) for slow in (120, 240, 180)]
    result = summarize(Load(), pairs)
    assert result["ratio"] == 6
    assert result["ratios"] == [4, 8, 6]
    assert result["trees_per_min"] == {"together": [32, 32, 32], "sequence": [8, 4, 5.33]}
    assert result["prefix_hit_rate"] == {"together": [0.25] * 3, "sequence": [0.25] * 3}
    assert result["trees"] == Load().trees == 16
