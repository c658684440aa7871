"""The sides of the scheduler bench, each run as a process: `... SIDE LOAD_AS_JSON`.

`guideweave` drives its workers over a published plan; `ray_data` gives the same prompts to an
async `map_batches` and writes parquet. Both call the same kind of pool. Each prints when its
calls were in flight, and what it took.
A leaf: imports Ray.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import ray

from synth.calls.aio import run_until_interrupted
from synth.chat import ChatSpec
from synth.chat.connect import connect
from synth.config.schema import ModelConfig, SynthConfig
from synth.drive.drive import Progress
from synth.pools.layout import PoolPlan, chats_of, plan_pools
from synth.recipes import find_recipe
from synth.records import Message, Outcome, Sampling
from synth.run import Run, needed_roles, run_digest
from synth.synthesize import RunOptions, make_work, open_pools, work_through
from synth.workspace.workspace import Workspace
from tests.bench.flights import FOLDER_ENV, Flight, occupancy, read_flights
from tests.bench.scheduler_load import Load, make_config, make_items, prompt, recipe_path

ASYNC_BATCHES = 4  # that Ray Data has open at once in one actor, by default


async def guideweave(load: Load, folder: str, cpu: "TreeCpu") -> None:
    """Run the load's rows to their published leases."""
    config = make_config(load, folder)
    recipe = find_recipe(recipe_path(load))
    run = Run(
        config=config,
        workspace=Workspace(folder),
        recipes={recipe.name: recipe},
        recipe_paths={recipe.name: config.recipe[0]},
        guidelines={},
        train=[],
        evaluation=[],
        contaminated={},
    )
    run.workspace.publish(make_items(load))

    def tell(stage: str, progress: Progress) -> None:
        cpu.look()

    pools = _plan(load, config, needed_roles(config, run.recipes.values()))
    work = make_work(run, pools, "bench")
    async with open_pools(config, pools):
        cpu.start()
        await work_through(config, work, run.workspace.owed(), "bench", RunOptions(tell=tell))
    outcomes = run.workspace.rows_by_outcome()
    if outcomes != {Outcome.OK: load.rows}:
        raise RuntimeError(f"not every row was answered: {dict(outcomes)}")


async def ray_data(load: Load, folder: str, cpu: "TreeCpu") -> None:
    """Do the same with Ray Data."""
    config = make_config(load, folder)
    models = {pool: getattr(config, pool) for pool in load.pools}
    pools = _plan(load, config, models)
    async with open_pools(config, pools):
        cpu.start()
        watching = asyncio.create_task(_watch(cpu))
        await asyncio.to_thread(_map_batches, load, chats_of(pools), f"{folder}/data")
        watching.cancel()


def _map_batches(load: Load, chats: Mapping[str, ChatSpec], folder: str) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"prompt": prompt(number)} for number in range(load.rows)]
    done = ray.data.from_items(rows, override_num_blocks=1).map_batches(
        Caller,
        fn_constructor_args=[list(chats.values())],
        batch_size=load.calls // ASYNC_BATCHES,
        concurrency=1,
    )
    done.write_parquet(folder)


class Caller:
    """What a user of Ray Data writes: the calls of a batch at once."""

    def __init__(self, specs: list[ChatSpec]) -> None:
        self._chats = [connect(spec) for spec in specs]

    async def __call__(self, batch: dict[str, Any]) -> Any:
        answers = await asyncio.gather(*(self._row(text) for text in batch["prompt"]))
        yield {"prompt": batch["prompt"], "answer": answers}

    async def _row(self, text: str) -> str:
        messages = [Message(role="user", content=str(text))]
        replies = [await chat(messages, Sampling(max_tokens=64)) for chat in self._chats]
        return replies[0].text


class TreeCpu:
    """CPU seconds of this process and all below it, Ray's own among them, by what they are."""

    def __init__(self) -> None:
        self._before: dict[int, float] = {}
        self._seen: dict[int, tuple[str, float]] = {}

    def start(self) -> None:
        """Count from here."""
        self.look()
        self._before = {pid: seconds for pid, (_, seconds) in self._seen.items()}

    def look(self) -> None:
        """Read the clocks: of a process that ends, what it took up to the last look counts."""
        root = psutil.Process()
        for process in [root, *root.children(recursive=True)]:
            try:
                times, name = process.cpu_times(), process.name()
            except psutil.NoSuchProcess:
                continue
            self._seen[process.pid] = (name, times.user + times.system)

    def by_name(self) -> dict[str, float]:
        """Return the CPU seconds since the start, by the processes' names, the most first."""
        total: defaultdict[str, float] = defaultdict(float)
        for pid, (name, seconds) in self._seen.items():
            total[name] += seconds - self._before.get(pid, 0.0)
        return dict(sorted(total.items(), key=lambda entry: -entry[1]))


async def _watch(cpu: TreeCpu) -> None:
    while True:
        await asyncio.sleep(1.0)
        cpu.look()


def _plan(load: Load, config: SynthConfig, models: Mapping[str, ModelConfig]) -> list[PoolPlan]:
    """Plan pools that take as many calls as the load has."""
    pools = plan_pools(models, run_digest(config.run), config.limits)
    return [replace(pool, max_calls=load.calls) for pool in pools]


def measure(side: str, load: Load) -> dict[str, object]:
    """Run one side, and read what the replicas noted."""
    cpu = TreeCpu()
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        flights_folder = Path(folder) / "flights"
        flights_folder.mkdir()
        os.environ[FOLDER_ENV] = str(flights_folder)
        run_until_interrupted(_SIDES[side](load, f"{folder}/run", cpu))
        flights = {pool: read_flights(flights_folder, pool) for pool in load.pools}
    return summarize(load, flights, cpu.by_name())


def summarize(
    load: Load, flights: Mapping[str, list[Flight]], cpu_s: Mapping[str, float]
) -> dict[str, object]:
    """Return one side's numbers: occupancy is the first pool's, which is the slower one."""
    first = flights[load.pools[0]]
    last_row_at = max(flight.began_at for flight in first)
    seconds = max(f.ended_at for pool in flights.values() for f in pool) - min(first).began_at
    return {
        "occupancy": round(occupancy(first, load.calls, last_row_at), 4),
        "cpu_ms_per_row": round(1e3 * sum(cpu_s.values()) / load.rows, 3),
        "cpu_ms_per_row_by_process": {
            name: round(1e3 * used_s / load.rows, 3) for name, used_s in islice(cpu_s.items(), 6)
        },
        "seconds": round(seconds, 2),
        "rows_per_s": round(load.rows / seconds, 1),
        "calls": {pool: len(noted) for pool, noted in flights.items()},
    }


def words(side: str, load: Load) -> list[str]:
    """Return the command line of a side."""
    return [sys.executable, "-m", "tests.bench.scheduler_sides", side, json.dumps(asdict(load))]


_SIDES = {"guideweave": guideweave, "ray_data": ray_data}

if __name__ == "__main__":
    told = json.loads(sys.argv[2])
    pools = tuple(told.pop("pools"))
    print(json.dumps(measure(sys.argv[1], Load(pools=pools, **told))))
