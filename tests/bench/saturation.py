"""How full does `synthesize` keep an engine? `python -m tests.bench.saturation`

Output tokens a second of `synthesize` over those of the same engine fed with token ids, on the
same prompts and sampling: the median of alternating pairs. Each side runs in a process of its
own, after the other has ended: two engines would share the cores. Neither is warmed up beyond
what vLLM does while it loads. The last line of stdout is one JSON object.

The engine computes on all cores but one, as vLLM has it by itself and as an engine on a GPU
leaves the cores to the machinery. `--every-core` measures what a run does by default on a small
machine, where the engine has every core and all that the machinery computes is taken from it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import NamedTuple

from tests.bench.load import Load, Served, add_options, read_load

BARE, WHOLE = "tests.bench.bare_engine", "tests.bench.whole_machinery"


class Pair(NamedTuple):
    """Output tokens a second of the two sides, measured one after the other."""

    bare: float
    synthesize: float

    @property
    def ratio(self) -> float:
        """The share of the bare engine's speed that `synthesize` reaches."""
        return self.synthesize / self.bare


def main() -> None:
    """Measure, tell each pair on stderr, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--every-core", action="store_true")
    known = parser.parse_args()
    if not known.every_core:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "auto"
    load = read_load(known)
    pairs = [measure_pair(load, bare_first=index % 2 == 0) for index in range(known.pairs)]
    print(json.dumps(summarize(load, pairs) | {"every_core": known.every_core}))


def measure_pair(load: Load, *, bare_first: bool) -> Pair:
    """Measure both sides, in the given order."""
    order = (BARE, WHOLE) if bare_first else (WHOLE, BARE)
    served = {side: _measure(side, load) for side in order}
    pair = Pair(served[BARE].tokens_per_s, served[WHOLE].tokens_per_s)
    print(f"bare {pair.bare:.0f} tok/s, synthesize {pair.synthesize:.0f}", file=sys.stderr)
    return pair


def summarize(load: Load, pairs: list[Pair]) -> dict[str, object]:
    """Return what others read: `ratio` is the median of the pairs'."""
    return {
        "ratio": round(statistics.median(pair.ratio for pair in pairs), 4),
        "ratios": [round(pair.ratio, 4) for pair in pairs],
        "bare_tok_s": [round(pair.bare, 1) for pair in pairs],
        "synthesize_tok_s": [round(pair.synthesize, 1) for pair in pairs],
        **{name: getattr(load, name) for name in load.__slots__},
    }


def _measure(side: str, load: Load) -> Served:
    command = [sys.executable, "-m", side, *load.words()]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    served = Served(**json.loads(done.stdout.splitlines()[-1]))
    if served.replies != load.prompts:
        raise RuntimeError(f"{side} answered {served.replies} of {load.prompts} prompts")
    return served


if __name__ == "__main__":
    main()
