"""Kill a run's driver, workers and replicas at random moments, and count what is left.

    python -m tests.chaos.run --seeds 20

Every seed is a run of its own, with a scripted engine behind a real Serve replica. The last
line of the output is one JSON object; the exit code is 1 where an item was lost, came twice or
did not end well.
"""

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.check import Count, count
from tests.chaos.kills import DRIVER, Kill, Story, run_through
from tests.chaos.scripts import CALLS_FILE

NUM_ITEMS = 120
CALLS_PER_ITEM = 2
TIMEOUT_S = 240.0  # of one seed, however often its driver is killed
CONFIG = """
run: {run}
recipe: tests.chaos.scripts.two_calls
samples: 3
seeds: {{limit: {{harmful: 14, benign: 14, borderline: 12}}}}
teacher:
  model: scripted
  backend: scripted
  engine_args: {{script: "tests.chaos.scripts:answer", latency_s: 0.25, max_num_seqs: 8}}
limits: {{workers: 2, call_timeout_s: 30, drain_s: 3, start_timeout_s: 120}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One seed: what was done to its run, and what came out."""

    story: Story
    count: Count
    calls: int

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.count.whole and self.count.planned == NUM_ITEMS


def draw_kills(seed: int) -> list[Kill]:
    """Return what happens in a seed, each kill once so many calls are answered, some at the start.

    A worker and a replica die once or twice each, in every other seed the driver dies too, in
    any order. No more replicas: a row that sees four of them die is rightly taken for poison.
    """
    draw = random.Random(seed)
    kinds = ["worker"] * draw.randint(1, 2) + ["replica"] * draw.randint(1, 2)
    kinds += [DRIVER] * (seed % 2 == 0)
    calls = NUM_ITEMS * CALLS_PER_ITEM
    moments = (max(0, draw.randint(-calls // 6, calls * 4 // 5)) for _ in kinds)
    draw.shuffle(kinds)
    return [
        Kill(kind, progress, draw.uniform(0.0, 0.5))
        for kind, progress in zip(kinds, sorted(moments), strict=True)
    ]


def run_seed(kills: list[Kill], folder: Path) -> Result:
    """Run to the end through `kills`."""
    folder.mkdir(parents=True)
    run, config, calls = folder / "run", folder / "config.yaml", folder / "calls"
    config.write_text(CONFIG.format(run=run))
    calls.touch()
    # --force: the heartbeat of a driver just killed is still fresh.
    story = run_through(
        ["ray_jobs.synthesize", str(config), "--force"],
        kills,
        progress=lambda: calls.stat().st_size,
        log=folder / "drivers.log",
        env={CALLS_FILE: str(calls)},
        timeout_s=TIMEOUT_S,
    )
    return Result(story=story, count=count(run), calls=calls.stat().st_size)


def summarize(results: list[Result], calm: Result | None) -> dict[str, object]:
    """Return the counts of all seeds together."""
    kills = sum((result.story.kills for result in results), Counter[str]())
    due = NUM_ITEMS * CALLS_PER_ITEM * len(results)
    seconds = statistics.median(result.story.seconds for result in results)
    return {
        "kills": dict(sorted(kills.items())),
        "lost": sum(r.count.lost + NUM_ITEMS - r.count.planned for r in results),
        "double": sum(result.count.double for result in results),
        "failed": sum(result.count.outcomes.get("failed", 0) for result in results),
        "poison": sum(result.count.poison for result in results),
        "regenerated_share": round(sum(result.calls for result in results) / due - 1, 3),
        "slowdown": None if calm is None else round(seconds / calm.story.seconds, 2),
        "left_behind": sum(result.story.left_behind for result in results),
        "seeds": len(results),
    }


def main() -> int:
    """Run the seeds; print a line each, and the summary last."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the running driver is ended first
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gw-chaos-") as folder:
        calm = run_seed([], Path(folder, "calm"))
        print(f"calm: {calm.story.seconds:.0f} s, {calm.count}", flush=True)
        results = []
        for seed in range(options.first, options.first + options.seeds):
            result = run_seed(draw_kills(seed), Path(folder, str(seed)))
            results.append(result)
            story = result.story
            print(
                f"seed {seed}: {dict(story.kills)} in {story.lives} lives, {story.seconds:.0f} s, "
                f"{result.calls} calls, {result.count}",
                flush=True,
            )
    print(json.dumps(summarize(results, calm)))
    return 0 if all(result.whole for result in [calm, *results]) else 1


if __name__ == "__main__":
    sys.exit(main())
