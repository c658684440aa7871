"""How much faster do trees grow together than one by one? `python -m tests.bench.trees`

Trees a minute of many trees at once with siblings at once, over the same code with one tree at a
time and siblings in sequence, on the embedded model: the median of alternating pairs. Each side
runs in a process of its own, after the other has ended. The last line of stdout is one JSON
object; the shares of prompt tokens that the prefix cache held stand beside the ratio.
"""

import argparse
import json
import statistics
import subprocess
import sys
from typing import NamedTuple

from tests.bench.trees_load import Grown, Load

SIDES = "tests.bench.trees_sides"


class Pair(NamedTuple):
    """The two sides, measured one after the other."""

    together: Grown
    sequence: Grown

    @property
    def ratio(self) -> float:
        """How many times the trees a minute of the one are those of the other."""
        return self.together.trees_per_min / self.sequence.trees_per_min


def main() -> None:
    """Measure, tell each pair on stderr, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in Load.__slots__:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(Load(), name))
    parser.add_argument("--pairs", type=int, default=1)
    known = parser.parse_args()
    load = Load(**{name: getattr(known, name) for name in Load.__slots__})
    pairs = [measure_pair(load, together_first=index % 2 == 0) for index in range(known.pairs)]
    print(json.dumps(summarize(load, pairs)))


def measure_pair(load: Load, *, together_first: bool) -> Pair:
    """Measure both sides, in the given order."""
    order = ("together", "sequence") if together_first else ("sequence", "together")
    grown = {side: _measure(side, load) for side in order}
    pair = Pair(grown["together"], grown["sequence"])
    print(f"together {pair.together}, sequence {pair.sequence}", file=sys.stderr)
    return pair


def summarize(load: Load, pairs: list[Pair]) -> dict[str, object]:
    """Return what others read: `ratio` is the median of the pairs'."""
    sides: dict[str, list[Grown]] = {
        "together": [pair.together for pair in pairs],
        "sequence": [pair.sequence for pair in pairs],
    }
    return {
        "ratio": round(statistics.median(pair.ratio for pair in pairs), 2),
        "ratios": [round(pair.ratio, 2) for pair in pairs],
        "trees_per_min": {
            side: [round(grown.trees_per_min, 2) for grown in found]
            for side, found in sides.items()
        },
        "prefix_hit_rate": {
            side: [round(grown.hit_rate, 4) for grown in found] for side, found in sides.items()
        },
        "nodes": {side: [grown.nodes for grown in found] for side, found in sides.items()},
        "calls": {side: [grown.calls for grown in found] for side, found in sides.items()},
        "output_tokens": {
            side: [grown.output_tokens for grown in found] for side, found in sides.items()
        },
        **{name: getattr(load, name) for name in Load.__slots__},
    }


def _measure(side: str, load: Load) -> Grown:
    numbers = [str(getattr(load, name)) for name in Load.__slots__]
    command = [sys.executable, "-m", SIDES, side, *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Grown(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
