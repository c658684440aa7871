"""Does the scheduler keep a pool full? `python -m tests.bench.scheduler`

Rows of one call to a pool of a log-normal latency (mean 1 s, sigma 1.0, seeded by the prompt),
then rows of two calls to two pools (means 1 s and 0.3 s), each pool two Serve replicas of the
scripted chat. Workers run leases and publish them; what is in flight is counted at the replicas.
`occupancy` is the slower pool's mean over what is allowed, from the moment when as many calls as
are allowed have begun to the start of the last row: the worse of the two recipes. `cpu_ms_per_row`
is the CPU of every process, Ray's own among them, with one call a row. The same work through Ray
Data's `map_batches` stands beside it. The last line of stdout is one JSON object.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

from tests.bench.scheduler_load import MEAN_S, Load
from tests.bench.scheduler_sides import words


def main() -> None:
    """Measure, tell each part on stderr, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--calls", type=int, default=256)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--sides", nargs="+", choices=("guideweave", "ray_data"), default=None)
    known = parser.parse_args()
    load = Load(rows=known.rows, calls=known.calls, workers=known.workers)
    sides = known.sides or ["guideweave", "ray_data"]
    found = {side: measure_recipes(side, load) for side in sides}
    print(json.dumps(summarize(load, found)))


def measure_recipes(side: str, load: Load) -> dict[str, dict[str, Any]]:
    """Run a side over both recipes."""
    return {
        "one_call": _measure(side, load),
        "two_calls": _measure(side, replace(load, pools=tuple(MEAN_S))),
    }


def summarize(load: Load, found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, object]:
    """Return what others read, and below it each measurement."""
    ours = next(iter(found.values()))
    return {
        "occupancy": min(recipe["occupancy"] for recipe in ours.values()),
        "cpu_ms_per_row": ours["one_call"]["cpu_ms_per_row"],
        "rows": load.rows,
        "calls": load.calls,
        **found,
    }


def _measure(side: str, load: Load) -> dict[str, Any]:
    done = subprocess.run(words(side, load), stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{side}, {'+'.join(load.pools)}: {found}", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
