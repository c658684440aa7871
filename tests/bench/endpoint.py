"""How near does the `endpoint` chat come to a bare client? `python -m tests.bench.endpoint`

A mock server in a process of its own takes a log-normal time (mean 1 s, sigma 1.0, seeded by the
prompt) over each request. The same prompts go through a bare aiohttp client behind a semaphore
and through `synthesize`, with a plan, leases and published files: `ratio` is rows a second of the
second over the first, `cpu_ms_per_row` the CPU of all its processes, start-up included, and not
the server's. Then a driver is killed with half of the rows answered and started again:
`repeated` is the number of requests that the server saw beyond the first of a prompt,
`repeated_bound` those in flight at the kill and the finished rows of leases still open.

With `--workers 0`, the default here and what `docs/endpoints.md` advises for runs that call
endpoints only, recipes run in the driver's own process without Ray.
"""

import asyncio
import json
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import aiohttp
from aiohttp import web

from synth.config.schema import EndpointConfig, Limits, ModelConfig, SamplingConfig, SynthConfig
from synth.dataset import make_traces
from synth.records import Item, Outcome
from synth.synthesize import RunOptions
from synth.workspace.workspace import Workspace
from tests.bench import harness
from tests.bench.harness import Json, TreeCpu
from tests.bench.recipes import ONE_CALL, ONE_CALL_PATH

MODEL = "mock"
MAX_TOKENS = 128
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One measurement.

    Attributes:
        rows: Requests, each with a prompt of its own.
        calls: Requests that may be open at once.
        mean_s: What the server takes over one.
        workers: Recipe workers; 0 is the driver's own process.
        url: The server, up to `/v1`.
        folder: The run directory of `synthesize`.
    """

    rows: int = 10_000
    calls: int = 256
    mean_s: float = 1.0
    workers: int = 0
    url: str = ""
    folder: str = ""


def bench() -> Json:
    """Measure pairs of the two sides, then what a kill costs."""
    parser = harness.make_parser(__doc__, Load())
    parser.add_argument("--pairs", type=int, default=1)
    known = parser.parse_args()
    load = harness.read_load(known, Load)
    with mock_server(load) as url:
        load = replace(load, url=url)
        sides = ("bare", "guideweave")
        pairs = harness.measure_pairs(sides, partial(measure, load), known.pairs)
        killed = kill_at_half(load)
    return summarize(pairs) | killed | vars(known)


def measure(load: Load, side: str) -> Json:
    """Run one side over the whole load; return its rows a second, and the CPU it took."""
    ask(load.url, "reset")
    cpu = TreeCpu()
    with planned_folder(load) as folder:
        told = harness.run_side("endpoint", side, replace(load, folder=folder), cpu.look)
    stats = ask(load.url, "stats")
    trials = stats["asked"] - load.rows  # what a run asks before its first row
    if stats["answered"] - trials != load.rows or stats["most_inside"] > load.calls:
        raise RuntimeError(f"{side}: the server saw {stats}")
    found = {
        "rows_per_s": round(load.rows / told["seconds"], 1),
        "cpu_ms_per_row": round(1e3 * sum(cpu.by_name().values()) / load.rows, 3),
    }
    harness.say(f"{side}: {found}")
    return found


def kill_at_half(load: Load) -> Json:
    """Kill a driver with half of the rows answered, resume, and return what that cost."""
    ask(load.url, "reset")
    with planned_folder(load) as folder:
        workspace = Workspace(folder)
        command = harness.side_command("endpoint", "guideweave", replace(load, folder=folder))
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while ask(load.url, "stats")["answered"] < load.rows / 2:
            if driver.poll() is not None:
                raise RuntimeError(f"the driver ended by itself: {driver.returncode}")
            time.sleep(POLL_S)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        published = sum(one.rows for one in workspace.counts())
        bound = ask(load.url, "stats")["asked"] - published
        harness.run_command(command)
        ids = workspace.traces(columns=["item_id"])["item_id"].to_pylist()
        if len(ids) != len(set(ids)) or len(ids) != load.rows:
            raise RuntimeError(f"{len(ids)} rows of {len(set(ids))} items, {load.rows} planned")
    return {"repeated": ask(load.url, "stats")["repeated"], "repeated_bound": bound}


def summarize(pairs: list[tuple[Json, Json]]) -> Json:
    """Return what others read: `ratio` and CPU are the medians of the pairs'."""
    bare, ours = zip(*pairs, strict=True)
    return {
        **harness.median_ratio([b["rows_per_s"] / a["rows_per_s"] for a, b in pairs], 4),
        "cpu_ms_per_row": statistics.median(one["cpu_ms_per_row"] for one in ours),
        "rows_per_s": [one["rows_per_s"] for one in ours],
        "bare_rows_per_s": [one["rows_per_s"] for one in bare],
        "bare_cpu_ms_per_row": [one["cpu_ms_per_row"] for one in bare],
    }


def prompts(rows: int) -> list[str]:
    """Return the prompt of each row."""
    topic = "Explain in a few plain sentences what question number {} is about"
    return [f"{topic.format(number)}, and why it matters." for number in range(rows)]


def make_items(rows: int) -> list[Item]:
    """Return what is planned."""
    return harness.make_items(prompts(rows), ONE_CALL)


@contextmanager
def planned_folder(load: Load) -> Iterator[str]:
    """Yield a run directory with a plan of all rows."""
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        Workspace(folder).publish(make_items(load.rows))
        yield folder


def bare(load: Load) -> Json:
    """Ask everything with an aiohttp client, which keeps its answers in memory."""
    return {"seconds": asyncio.run(_ask_all(load))}


async def _ask_all(load: Load) -> float:
    allowed = asyncio.Semaphore(load.calls)
    connector = aiohttp.TCPConnector(limit=load.calls)
    started = time.perf_counter()

    async def complete(session: aiohttp.ClientSession, prompt: str) -> str:
        message = {"role": "user", "content": prompt}
        body = {"model": MODEL, "messages": [message], "max_tokens": MAX_TOKENS}
        async with allowed, session.post(f"{load.url}/chat/completions", json=body) as response:
            response.raise_for_status()
            return (await response.json())["choices"][0]["message"]["content"]

    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(complete(session, prompt) for prompt in prompts(load.rows)))
    return time.perf_counter() - started


def guideweave(load: Load) -> Json:
    """Synthesize what the plan in the folder owes."""
    endpoint = EndpointConfig(base_url=load.url, model=MODEL, max_concurrency=load.calls)
    config = SynthConfig(
        run=load.folder,
        recipe=(ONE_CALL_PATH,),
        guidelines=(),
        teacher=ModelConfig(endpoint=endpoint),
        sampling=SamplingConfig(max_tokens=MAX_TOKENS),
        limits=Limits(workers=load.workers),
    )
    run = harness.make_run(config, ONE_CALL, make_items(load.rows))
    started = time.perf_counter()
    outcomes = make_traces(run, RunOptions())
    seconds = time.perf_counter() - started
    if outcomes != {Outcome.OK: load.rows}:
        raise RuntimeError(f"not every row was answered: {dict(outcomes)}")
    return {"seconds": seconds}


@contextmanager
def mock_server(load: Load) -> Iterator[str]:
    """Start the server on a free port; yield its address up to `/v1`."""
    command = harness.side_command("endpoint", "server", load)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def ask(url: str, what: str) -> dict[str, int]:
    """Ask the server for its `stats`, or for a `reset`."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/{what}", timeout=30) as answer:
        return json.load(answer)


def answer() -> Json:
    """Return what the server says to everything."""
    text = "It is about a thing that people ask; it matters since the answer helps them. "
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 24, "completion_tokens": 16, "total_tokens": 40},
    }


@dataclass(slots=True)
class Book:
    """What came so far at the server."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    inside: int = 0
    most_inside: int = 0

    @property
    def stats(self) -> dict[str, int]:
        """The numbers; `repeated` counts requests beyond the first of a prompt."""
        asked = self.asked.total()
        return asdict(self) | {"asked": asked, "repeated": asked - len(self.asked)}


class Server:
    """Answers each request after the time that its prompt takes."""

    def __init__(self, mean_s: float) -> None:
        self._mean_s, self._book = mean_s, Book()

    async def complete(self, request: web.Request) -> web.Response:
        book, text = self._book, (await request.json())["messages"][-1]["content"]
        book.asked[text] += 1
        book.inside += 1
        book.most_inside = max(book.inside, book.most_inside)
        try:
            await asyncio.sleep(harness.latency_s(text, self._mean_s))
        finally:
            book.inside -= 1
        book.answered += 1
        return web.json_response(answer())

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(self._book.stats)

    async def reset(self, request: web.Request) -> web.Response:
        self._book = Book()
        return web.json_response({})


def server(load: Load) -> Json:
    """Serve until SIGTERM."""
    return asyncio.run(_serve(Server(load.mean_s)))


async def _serve(served: Server) -> Json:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", served.complete)
    app.router.add_get("/stats", served.stats)
    app.router.add_get("/reset", served.reset)
    # Who hangs up, as a killed driver does, is not answered.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    return await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    sides = {"bare": bare, "guideweave": guideweave, "server": server}
    harness.main(bench, sides, Load)
