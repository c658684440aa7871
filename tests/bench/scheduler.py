"""Does the scheduler keep a pool full? `python -m tests.bench.scheduler`

Rows of one call to a pool of a log-normal latency (mean 1 s, sigma 1.0, seeded by the prompt),
then rows of two calls to two pools (means 1 s and 0.3 s), each pool two Serve replicas of the
scripted chat. Workers run leases and publish them; what is in flight is counted at the replicas.
`occupancy` is the slower pool's mean over what is allowed, from the moment when as many calls as
are allowed have begun to the start of the last row: the worse of the two recipes. `cpu_ms_per_row`
is the CPU of every process, Ray's own among them, with one call a row. The same work through Ray
Data's `map_batches` stands beside it.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import ray

from synth.calls.aio import run_until_interrupted
from synth.chat import ChatSpec
from synth.chat.connect import connect
from synth.config.schema import Limits, ModelConfig, Replicas, SamplingConfig, SynthConfig
from synth.pools.layout import PoolPlan, chats_of, plan_pools
from synth.records import Message, Outcome, Sampling, digest
from synth.run import run_digest
from synth.synthesize import RunOptions, make_work, open_pools, work_through
from tests.bench import harness
from tests.bench.harness import Json, TreeCpu
from tests.bench.recipes import ONE_CALL, ONE_CALL_PATH, TWO_CALLS, TWO_CALLS_PATH

MEAN_S = {"teacher": 1.0, "judge": 0.3}
RECIPES = {"one_call": (ONE_CALL, ONE_CALL_PATH), "two_calls": (TWO_CALLS, TWO_CALLS_PATH)}
FLIGHTS_ENV = "GUIDEWEAVE_BENCH_FLIGHTS"  # inherited by every process of a cluster of our own
REPLICAS = 2
ASYNC_BATCHES = 4  # that Ray Data has open at once in one actor, by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One measurement.

    Attributes:
        rows: Rows, each with a prompt of its own.
        calls: Calls that may be in flight to a pool at once.
        workers: Recipe workers; None takes as many as a run does by default.
        recipe: One of `RECIPES`.
    """

    rows: int = 4_000
    calls: int = 256
    workers: int | None = None
    recipe: str = "one_call"

    @property
    def pools(self) -> list[str]:
        """The pools that a row calls, one after the other: the slower one first."""
        return [pool for pool in MEAN_S if pool in RECIPES[self.recipe][0].needs]


def bench() -> Json:
    """Measure each side over both recipes."""
    parser = harness.make_parser(__doc__, Load())
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    known = parser.parse_args()
    load = harness.read_load(known, Load)
    loads = {recipe: replace(load, recipe=recipe) for recipe in RECIPES}
    found = {side: {name: measure(side, loads[name]) for name in loads} for side in known.sides}
    first = next(iter(found.values()))
    return {
        "occupancy": min(recipe["occupancy"] for recipe in first.values()),
        "cpu_ms_per_row": first["one_call"]["cpu_ms_per_row"],
        "rows": load.rows,
        "calls": load.calls,
        **found,
    }


def measure(side: str, load: Load) -> Json:
    """Run one side over one recipe."""
    found = harness.run_side("scheduler", side, load)
    harness.say(f"{side}, {load.recipe}: {found}")
    return found


class Flight(NamedTuple):
    """One call at a replica, in seconds of the machine's clock."""

    began_at: float
    ended_at: float


@contextmanager
def in_flight(pool: str) -> Iterator[None]:
    """Note a call to `pool` from here to the end of the block.

    Replicas are processes of their own on this machine, so times are of its monotonic clock.
    """
    began_at = time.monotonic()
    try:
        yield
    finally:
        line = f"{began_at:.6f} {time.monotonic():.6f}\n"
        os.write(_log(os.environ[FLIGHTS_ENV], pool), line.encode())


@cache
def _log(folder: str, pool: str) -> int:
    path = Path(folder) / f"{pool}-{os.getpid()}"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def read_flights(folder: Path, pool: str) -> list[Flight]:
    """Return the calls that all replicas of `pool` noted."""
    lines = (line for file in folder.glob(f"{pool}-*") for line in file.read_text().splitlines())
    return [Flight(*map(float, line.split())) for line in lines]


def occupancy(flights: Sequence[Flight], allowed: int, last_row_at: float) -> float:
    """Return the mean number of calls in flight over those allowed.

    Args:
        flights: All calls of a pool.
        allowed: Calls that may be in flight at once.
        last_row_at: When the last row began its first call. The mean is taken up to then from
            the moment when as many calls as are allowed have begun for the first time.
    """
    full_at = sorted(flight.began_at for flight in flights)[allowed - 1]
    inside_s = sum(
        max(0.0, min(flight.ended_at, last_row_at) - max(flight.began_at, full_at))
        for flight in flights
    )
    return inside_s / (allowed * (last_row_at - full_at))


async def teacher(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer as the slower pool does: a script of its replicas."""
    return await _answer("teacher", messages)


async def judge(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer as the faster pool does."""
    return await _answer("judge", messages)


async def _answer(pool: str, messages: Sequence[Message]) -> str:
    with in_flight(pool):
        text = digest(pool, messages[-1]["content"])  # of either pool another latency
        await asyncio.sleep(harness.latency_s(text, MEAN_S[pool]))
    return "It is about a thing that people ask, and the answer helps them decide."


def prompts(rows: int) -> list[str]:
    """Return the prompt of each row."""
    ask = "Explain in a few plain sentences what question number {} is about."
    return [ask.format(number) for number in range(rows)]


def make_config(load: Load, run: str) -> SynthConfig:
    """Return the run's configuration: every pool two replicas of the scripted chat."""
    models = {pool: _model(pool, load) for pool in load.pools}
    return SynthConfig(
        run=run,
        recipe=(RECIPES[load.recipe][1],),
        guidelines=(),
        sampling=SamplingConfig(max_tokens=64),
        limits=Limits(workers=load.workers),
        teacher=models["teacher"],
        judge=models.get("judge"),
    )


def _model(pool: str, load: Load) -> ModelConfig:
    args = {"script": f"tests.bench.scheduler:{pool}", "max_num_seqs": -(-load.calls // REPLICAS)}
    return ModelConfig(
        model="scripted",
        backend="scripted",
        replicas=Replicas(min=REPLICAS, max=REPLICAS),
        engine_args=args,
    )


def make_pools(load: Load, config: SynthConfig) -> list[PoolPlan]:
    """Plan pools that take as many calls as the load has."""
    models = {pool: getattr(config, pool) for pool in load.pools}
    pools = plan_pools(models, run_digest(config.run), config.limits)
    return [replace(pool, max_calls=load.calls) for pool in pools]


async def run_leases(load: Load, folder: str, cpu: TreeCpu) -> None:
    """Run the load's rows to their published leases, as `synthesize` does."""
    config, (recipe, _) = make_config(load, folder), RECIPES[load.recipe]
    items = harness.make_items(prompts(load.rows), recipe)
    run = harness.make_run(config, recipe, items)
    run.workspace.publish(items)
    pools = make_pools(load, config)
    options = RunOptions(tell=lambda stage, progress: cpu.look(os.getpid()))
    async with open_pools(config, pools):
        cpu.start(os.getpid())
        work = make_work(run, pools, "bench")
        await work_through(config, work, run.workspace.owed(), "bench", options)
    outcomes = run.workspace.rows_by_outcome()
    if outcomes != {Outcome.OK: load.rows}:
        raise RuntimeError(f"not every row was answered: {dict(outcomes)}")


async def map_batches(load: Load, folder: str, cpu: TreeCpu) -> None:
    """Give the same prompts to the same pools by an async `map_batches`, and write parquet."""
    config = make_config(load, folder)
    pools = make_pools(load, config)

    async def watch() -> None:
        while True:
            await asyncio.sleep(1.0)
            cpu.look(os.getpid())

    async with open_pools(config, pools):
        cpu.start(os.getpid())
        watching = asyncio.create_task(watch())
        await asyncio.to_thread(_map_batches, load, chats_of(pools), f"{folder}/data")
        watching.cancel()


def _map_batches(load: Load, chats: Mapping[str, ChatSpec], folder: str) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"prompt": prompt} for prompt in prompts(load.rows)]
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


def guideweave(load: Load) -> Json:
    """Measure this project's scheduler."""
    return _measure(load, run_leases)


def ray_data(load: Load) -> Json:
    """Measure Ray Data."""
    return _measure(load, map_batches)


def _measure(load: Load, work: Any) -> Json:
    """Do the work, and read what the replicas noted."""
    cpu = TreeCpu()
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        os.environ[FLIGHTS_ENV] = folder
        run_until_interrupted(work(load, f"{folder}/run", cpu))
        flights = {pool: read_flights(Path(folder), pool) for pool in load.pools}
    return summarize(load, flights, cpu.by_name())


def summarize(load: Load, flights: Mapping[str, list[Flight]], cpu_s: Mapping[str, float]) -> Json:
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


SIDES = {"guideweave": guideweave, "ray_data": ray_data}

if __name__ == "__main__":
    harness.main(bench, SIDES, Load)
