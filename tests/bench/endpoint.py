"""How near does the `endpoint` chat come to a bare client? `python -m tests.bench.endpoint`

A mock server in a process of its own takes a log-normal time (mean 1 s, sigma 1.0, seeded by the
prompt) over each request. The same prompts go through a bare aiohttp client behind a semaphore
and through `synthesize`, with a plan, leases and published files: `ratio` is rows a second of the
second over the first, `cpu_ms_per_row` the CPU of all its processes, start-up included, and not
the server's. Then a driver is killed with half of the rows answered and started again:
`repeated` is the number of requests that the server saw beyond the first of a prompt,
`repeated_bound` those in flight at the kill and the finished rows of leases still open. The last
line of stdout is one JSON object.

With `--workers 0`, the default here and what `docs/endpoints.md` advises for runs that call
endpoints only, recipes run in the driver's own process without Ray.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from synth.workspace.workspace import Workspace
from tests.bench.endpoint_load import Load, make_items
from tests.bench.endpoint_sides import words
from tests.bench.process_cpu import run_measured

POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One side, once: its rows a second, and the CPU it took."""

    rows_per_s: float
    cpu_ms_per_row: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a SIGKILL at half cost.

    Attributes:
        repeated: Requests beyond the first of a prompt.
        bound: Those in flight at the kill, and finished rows of leases then open.
    """

    repeated: int
    bound: int


def main() -> None:
    """Measure, tell each part on stderr, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=256)
    parser.add_argument("--mean-s", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=1)
    known = parser.parse_args()
    with mock_server(known.mean_s) as url:
        load = Load(url=url, rows=known.rows, calls=known.calls, workers=known.workers)
        pairs = [measure_pair(load, bare_first=n % 2 == 0) for n in range(known.pairs)]
        killed = kill_at_half(load)
    print(json.dumps(summarize(known, pairs, killed)))


def measure_pair(load: Load, *, bare_first: bool) -> tuple[Measured, Measured]:
    """Measure the bare client and `synthesize`, one after the other."""
    sides = ["bare", "guideweave"] if bare_first else ["guideweave", "bare"]
    found = {side: measure(side, load) for side in sides}
    return found["bare"], found["guideweave"]


def measure(side: str, load: Load) -> Measured:
    """Run one side over the whole load."""
    _ask(load.url, "reset")
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        Workspace(folder).publish(make_items(load.rows))
        told, cpu_s = run_measured(words(side, load, folder), tree=load.workers > 0)
    stats = _ask(load.url, "stats")
    proofs = stats["asked"] - load.rows  # what a run asks before its first row
    if stats["answered"] - proofs != load.rows or stats["most_inside"] > load.calls:
        raise RuntimeError(f"{side}: the server saw {stats}")
    found = Measured(
        rows_per_s=load.rows / json.loads(told)["seconds"], cpu_ms_per_row=1e3 * cpu_s / load.rows
    )
    _say(f"{side}: {found.rows_per_s:.1f} rows/s, {found.cpu_ms_per_row:.2f} CPU ms a row")
    return found


def kill_at_half(load: Load) -> Killed:
    """Kill a driver with half of the rows answered, and resume."""
    _ask(load.url, "reset")
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        Workspace(folder).publish(make_items(load.rows))
        command = words("guideweave", load, folder)
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while _ask(load.url, "stats")["answered"] < load.rows / 2:
            if driver.poll() is not None:
                raise RuntimeError(f"the driver ended by itself: {driver.returncode}")
            time.sleep(POLL_S)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        published = sum(one.rows for one in Workspace(folder).counts())
        bound = _ask(load.url, "stats")["asked"] - published
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        ids = Workspace(folder).traces(columns=["item_id"])["item_id"].to_pylist()
        if len(ids) != len(set(ids)) or len(ids) != load.rows:
            raise RuntimeError(f"{len(ids)} rows of {len(set(ids))} items, {load.rows} planned")
    return Killed(repeated=_ask(load.url, "stats")["repeated"], bound=bound)


def summarize(
    known: argparse.Namespace, pairs: list[tuple[Measured, Measured]], killed: Killed
) -> dict[str, object]:
    """Return what others read: `ratio` and CPU are the medians of the pairs'."""
    bare, ours = zip(*pairs, strict=True)
    ratios = [b.rows_per_s / a.rows_per_s for a, b in pairs]
    return {
        "ratio": round(statistics.median(ratios), 4),
        "cpu_ms_per_row": round(statistics.median(one.cpu_ms_per_row for one in ours), 3),
        "repeated": killed.repeated,
        "repeated_bound": killed.bound,
        "ratios": [round(ratio, 4) for ratio in ratios],
        "rows_per_s": [round(one.rows_per_s, 1) for one in ours],
        "bare_rows_per_s": [round(one.rows_per_s, 1) for one in bare],
        "bare_cpu_ms_per_row": [round(one.cpu_ms_per_row, 3) for one in bare],
        **vars(known),
    }


@contextmanager
def mock_server(mean_s: float) -> Iterator[str]:
    """Start the server on a free port; yield its address up to `/v1`."""
    command = [sys.executable, "-m", "tests.bench.endpoint_server", "0", str(mean_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def _ask(url: str, what: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/{what}", timeout=30) as answer:
        return json.load(answer)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
