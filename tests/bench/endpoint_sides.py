"""The two sides of the endpoint bench, each run as a process: `... SIDE LOAD_AS_JSON [RUN]`.

`bare` is an aiohttp client behind a semaphore that keeps its answers in memory. `guideweave` is
`synthesize` through the `endpoint` chat, with a plan, leases, and a published file a lease. Each
prints the seconds from its first request's preparation to its last row's end.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict

import aiohttp

from synth.calls.aio import run_until_interrupted
from synth.config.schema import EndpointConfig, Limits, ModelConfig, SamplingConfig, SynthConfig
from synth.records import Outcome
from synth.run import Run
from synth.synthesize import RunOptions, synthesize
from synth.workspace.workspace import Workspace
from tests.bench.endpoint_load import MAX_TOKENS, MODEL, Load, prompt
from tests.bench.recipes import ONE_CALL, one_call


def bare(load: Load) -> None:
    """Ask everything, with nothing around it."""
    seconds = asyncio.run(_ask_all(load))
    print(json.dumps({"seconds": seconds}))


async def _ask_all(load: Load) -> float:
    allowed = asyncio.Semaphore(load.calls)
    connector = aiohttp.TCPConnector(limit=load.calls)
    started = time.perf_counter()

    async def ask(session: aiohttp.ClientSession, number: int) -> str:
        message = {"role": "user", "content": prompt(number)}
        body = {"model": MODEL, "messages": [message], "max_tokens": MAX_TOKENS}
        async with allowed, session.post(f"{load.url}/chat/completions", json=body) as response:
            response.raise_for_status()
            return (await response.json())["choices"][0]["message"]["content"]

    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(ask(session, number) for number in range(load.rows)))
    return time.perf_counter() - started


def guideweave(load: Load, folder: str) -> None:
    """Synthesize what the plan in `folder` owes."""
    run = make_run(load, folder)
    started = time.perf_counter()
    outcomes = run_until_interrupted(synthesize(run, None, RunOptions()))
    seconds = time.perf_counter() - started
    if outcomes != {Outcome.OK: load.rows}:
        raise RuntimeError(f"not every row was answered: {dict(outcomes)}")
    print(json.dumps({"seconds": seconds}))


def make_run(load: Load, folder: str) -> Run:
    """Return a run that owes what is planned and plans nothing more."""
    endpoint = EndpointConfig(base_url=load.url, model=MODEL, max_concurrency=load.calls)
    config = SynthConfig(
        run=folder,
        recipe=(f"{one_call.__module__}.ONE_CALL",),
        guidelines=(),
        samples=1,
        teacher=ModelConfig(endpoint=endpoint),
        sampling=SamplingConfig(max_tokens=MAX_TOKENS),
        limits=Limits(workers=load.workers),
    )
    return Run(
        config=config,
        workspace=Workspace(folder),
        recipes={ONE_CALL.name: ONE_CALL},
        recipe_paths={ONE_CALL.name: config.recipe[0]},
        guidelines={},
        train=[],
        evaluation=[],
        contaminated={},
    )


def words(side: str, load: Load, folder: str = "") -> list[str]:
    """Return the command line of a side."""
    command = [sys.executable, "-m", "tests.bench.endpoint_sides", side, json.dumps(asdict(load))]
    return [*command, folder] if folder else command


if __name__ == "__main__":
    told = Load(**json.loads(sys.argv[2]))
    if sys.argv[1] == "bare":
        bare(told)
    else:
        guideweave(told, sys.argv[3])
