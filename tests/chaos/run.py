"""Kill a run's processes at random moments, and count what is left.

    python -m tests.chaos.run --seeds 5

Every seed is a run of its own, on a cluster and a store of its own; see docs/chaos.md. The
last line of the output is one JSON object; the exit code is 1 where an item was lost, came
twice or did not end as it had to, or where more calls were made than the kills explain.
"""

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.kills import DRIVER, Kill
from tests.chaos.seed import Result, Size, run_seed
from tests.chaos.storm import CONTROLLER, NODE, REPLICA, WORKER

KILLS = {WORKER: 60, REPLICA: 20, NODE: 5, DRIVER: 10, CONTROLLER: 5}
SIZE = Size(rows=1_200, poison=2)
_LAST = 0.8  # of the calls the run needs: by then the last kill has come


def draw_kills(size: Size, seed: int, share: float = 1.0) -> list[Kill]:
    """Return what happens in a seed, in any order, each kill once so many calls are answered.

    Args:
        size: Of the run.
        seed: Draws order and moments.
        share: Of the full number of kills of each kind.
    """
    draw = random.Random(seed)
    kinds = [kind for kind, times in KILLS.items() for _ in range(max(1, round(share * times)))]
    draw.shuffle(kinds)
    moments = sorted(draw.uniform(0, _LAST * size.calls) for _ in kinds)
    return [Kill(kind, int(moment)) for kind, moment in zip(kinds, moments, strict=True)]


def regenerated_share(results: Sequence[Result]) -> float:
    """Return the calls that reached an engine over the calls that were needed."""
    needed = sum(result.size.calls for result in results)
    return sum(result.calls_made for result in results) / needed


def bound(results: Sequence[Result]) -> float:
    """Return what `regenerated_share` may be: each death costs what was at stake, and no more.

    That is the calls in flight and the finished rows of the leases that were open, as they were
    found at the kills. An engine that dies of a poison row is a death like any other, and so is a
    node that left by itself.
    """
    extra = sum(
        (sum(result.kills.values()) + result.poison_deaths + result.nodes_gone)
        * statistics.mean(result.at_stake)
        for result in results
        if result.at_stake
    )
    return 1 + extra / sum(result.size.calls for result in results)


def summarize(results: Sequence[Result], calm: Result) -> dict[str, object]:
    """Return the counts of all seeds together."""
    kills = sum((Counter(result.kills) for result in results), Counter[str]())
    return {
        "kills": dict(sorted(kills.items())),
        "lost": sum(result.lost for result in results),
        "double": sum(result.count.double for result in results),
        "wrong": sum(result.wrong for result in results),
        "failed": sum(len(result.count.failed) for result in results),
        "poison": sum(result.size.poison for result in results),
        "regenerated_share": round(regenerated_share(results), 3),
        "bound": round(bound(results), 3),
        "slowdown": round(
            statistics.median(result.seconds for result in results) / calm.seconds, 2
        ),
        "poison_deaths": sum(result.poison_deaths for result in results),
        "nodes_gone": sum(result.nodes_gone for result in results),
        "store_faults": sum(result.store_faults for result in results),
        "left_behind": sum(result.left_behind for result in results),
        "seconds": [round(result.seconds) for result in results],
        "seeds": len(results),
    }


def main() -> int:
    """Run the seeds; print a line each, and the summary last."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is ended first
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--share", type=float, default=1.0, help="of the rows and the kills")
    options = parser.parse_args()
    size = Size(rows=max(1, round(SIZE.rows * options.share)), poison=SIZE.poison)
    with tempfile.TemporaryDirectory(prefix="gw-chaos-") as folder:
        calm = run_seed(size, [], options.first, Path(folder, "calm"))
        print(f"calm: {tell(calm)}", flush=True)
        results = []
        for seed in range(options.first, options.first + options.seeds):
            kills = draw_kills(size, seed, options.share)
            results.append(run_seed(size, kills, seed, Path(folder, str(seed))))
            print(f"seed {seed}: {tell(results[-1])}", flush=True)
    print(json.dumps(summarize(results, calm)))
    fair = regenerated_share(results) <= bound(results)
    return 0 if fair and all(result.whole for result in [calm, *results]) else 1


def tell(result: Result) -> str:
    """Return a line about one run."""
    count = result.count
    return (
        f"{result.seconds:.0f} s, kills {dict(result.kills)}, {result.calls_made} calls of "
        f"{result.size.calls}, {result.poison_deaths} deaths of poison, "
        f"{result.nodes_gone} nodes gone, {result.store_faults} faults of the store, "
        f"left behind {result.left_behind}, lost {result.lost}, double {count.double}, "
        f"wrong {result.wrong}, {count.outcomes}"
    )


if __name__ == "__main__":
    sys.exit(main())
