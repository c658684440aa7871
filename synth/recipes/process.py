"""Process pairs: of one unsafe chain's reflections, an earlier one over a later one.

A chain that goes wrong can be mended at any of its steps. All ways end alike, so what is preferred
is to notice early: the reflection at step i over that at j > i, and each over the chain that never
noticed (SaRO, arXiv 2504.09420).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations

from synth.recipes.outcome import Row, make_pair, think_text
from synth.recipes.pairs_base import Pair


def by_reflection(
    reflected: Iterable[Row],
    chains: Iterable[Row],
    *,
    text: Callable[[Row], str] = think_text,
) -> list[Pair]:
    """Return the pairs among each chain's reflections and the chain itself.

    Args:
        reflected: Traces whose first parent is the chain they mend, and whose payload's `index`
            is the number of its steps that they keep. Of several at one index the one with the
            least `row_id` counts.
        chains: The chains as they were; reflections of any other are left alone.
        text: The text of a trace, as the student is to write it.
    """
    unmended = {row["row_id"]: row for row in chains}
    mended: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in sorted(reflected, key=lambda row: row["row_id"]):
        chain_id = row["parents"][0]
        if chain_id in unmended:
            mended[chain_id].setdefault(json.loads(row["payload"])["index"], row)
    pairs = []
    for chain_id, by_index in sorted(mended.items()):
        best_first = [row for _, row in sorted(by_index.items())] + [unmended[chain_id]]
        for better, worse in combinations(best_first, 2):
            if text(better) != text(worse):
                pairs.append(make_pair(better, worse, text, "process"))
    return pairs
