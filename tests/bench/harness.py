"""What the benches share: sides in processes of their own, what these take, pairs, planned rows.

`python -m tests.bench.NAME` measures its sides one after the other: two at once would share the
machine. A side is the same module once more, `... NAME SIDE LOAD_AS_JSON`. What a side or a bench
has found is the last line that it prints, one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from synth.config.schema import SynthConfig
from synth.recipes import Recipe
from synth.records import Item, Seed, digest
from synth.run import Run
from synth.workspace.workspace import Workspace

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

INTERRUPTED = 130  # a side's exit after SIGINT
LOOK_S = 0.5  # between two looks at a side's processes
SIGMA = 1.0  # of the logarithm of latencies
_MU = -(SIGMA**2) / 2  # so that their mean is one
_RAYS_OWN = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")

Json = dict[str, Any]
Load = TypeVar("Load", bound="DataclassInstance")
T = TypeVar("T")


def main(
    bench: Callable[[], Json], sides: Mapping[str, Callable[[Load], Json]], kind: type[Load]
) -> None:
    """Run the side that the command line names, or the bench, and print what it found.

    Args:
        bench: Reads its options, runs sides and compares them.
        sides: By name.
        kind: Of the load that sides take.
    """
    side, *told = sys.argv[1:] or [""]
    try:
        found = sides[side](kind(**json.loads(told[0]))) if side in sides else bench()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    print(json.dumps(found), flush=True)


def make_parser(doc: str | None, load: "DataclassInstance") -> argparse.ArgumentParser:
    """Return a parser with an option for each number of `load`, which has the defaults."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, formatter_class=form)
    for field in fields(load):
        default = getattr(load, field.name)
        if not isinstance(default, str):
            kind = float if isinstance(default, float) else int
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=default)
    return parser


def read_load(known: argparse.Namespace, kind: type[Load]) -> Load:
    """Return the load that the options describe."""
    names = {field.name for field in fields(kind)} & vars(known).keys()
    return kind(**{name: getattr(known, name) for name in names})


def side_command(bench: str, side: str, load: "DataclassInstance") -> list[str]:
    """Return the command line of a side."""
    return [sys.executable, "-m", f"tests.bench.{bench}", side, json.dumps(asdict(load))]


def run_side(
    bench: str,
    side: str,
    load: "DataclassInstance",
    look: Callable[[int], None] = lambda pid: None,
) -> Json:
    """Run a side in a process of its own, and return what it found; see `run_command`."""
    return json.loads(run_command(side_command(bench, side, load), look))


def run_command(command: Sequence[str], look: Callable[[int], None] = lambda pid: None) -> str:
    """Run `command`, and return its last line of stdout.

    Args:
        command: What to run.
        look: Is given the process's id twice a second, and once more after its end, while the
            kernel still knows what it took.

    Raises:
        RuntimeError: It failed.
    """
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(command, stdout=out) as process:
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            look(process.pid)
            time.sleep(LOOK_S)
        look(process.pid)
        if process.wait():
            raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}")
        out.seek(0)
        return out.read().splitlines()[-1]


class TreeCpu:
    """CPU seconds of a process and of all below it, Ray's own among them.

    Of a process below that ends, what it had taken at the last look counts.
    """

    def __init__(self) -> None:
        self._before: dict[int, float] = {}
        self._seen: dict[int, tuple[str, float]] = {}

    def start(self, pid: int) -> None:
        """Count from here, not from each process's own start."""
        self.look(pid)
        self._before = {pid: seconds for pid, (_, seconds) in self._seen.items()}

    def look(self, pid: int) -> None:
        """Read the clocks of the process `pid` and of all below it."""
        for process in _tree(pid):
            try:
                times, name = process.cpu_times(), process.name()
            except psutil.NoSuchProcess:
                continue  # it ended while it was looked at
            self._seen[process.pid] = (name, times.user + times.system)

    def by_name(self) -> dict[str, float]:
        """Return the seconds by the processes' names, the most first."""
        total: defaultdict[str, float] = defaultdict(float)
        for pid, (name, seconds) in self._seen.items():
            total[name] += seconds - self._before.get(pid, 0.0)
        return dict(sorted(total.items(), key=lambda entry: -entry[1]))


class TreeMemory:
    """The most memory that a process and the workers of a Ray it started held at a moment.

    Attributes:
        most_bytes: Proportional set size (PSS): a page that several share counts once over all.
    """

    def __init__(self) -> None:
        self.most_bytes = 0

    def look(self, pid: int) -> None:
        """Sum over the process `pid` and the workers, without Ray's daemons."""
        held = sum(pss_bytes(p.pid) for p in _tree(pid) if p.pid == pid or _is_worker(p))
        self.most_bytes = max(self.most_bytes, held)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []  # it ended while it was looked at


def _is_worker(process: psutil.Process) -> bool:
    try:
        name = process.name()
    except psutil.NoSuchProcess:
        return False
    return name.startswith("ray::") and not name.startswith(_RAYS_OWN)


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure_pairs(
    sides: tuple[str, str], measure: Callable[[str], T], pairs: int
) -> list[tuple[T, T]]:
    """Measure two sides so many times, each time the other first; return them as `sides` are."""
    found: list[tuple[T, T]] = []
    for index in range(pairs):
        order = sides if index % 2 == 0 else sides[::-1]
        measured = {side: measure(side) for side in order}
        found.append((measured[sides[0]], measured[sides[1]]))
    return found


def median_ratio(ratios: Sequence[float], digits: int) -> Json:
    """Return what a bench of pairs says first: `ratio`, the median of its `ratios`."""
    return {
        "ratio": round(statistics.median(ratios), digits),
        "ratios": [round(ratio, digits) for ratio in ratios],
    }


def say(line: str) -> None:
    """Tell whoever waits how far a bench is."""
    print(line, file=sys.stderr, flush=True)


def latency_s(text: str, mean_s: float) -> float:
    """Return what a server takes over a text: log-normal, and the same for the same text."""
    return mean_s * Random(text).lognormvariate(_MU, SIGMA)


def make_items(prompts: Iterable[str], recipe: Recipe) -> list[Item]:
    """Return one item a prompt."""
    return [Item(seed=_seed(prompt), recipe=recipe.name) for prompt in prompts]


def _seed(text: str) -> Seed:
    return Seed(
        seed_id=digest([], text), prompt=text, label="benign", category="bench", source="bench"
    )


def make_run(config: SynthConfig, recipe: Recipe, items: Iterable[Item]) -> Run:
    """Return a run that owes `items` once they are published, and plans nothing more."""
    return Run(
        config=config.model_copy(update={"samples": 1}),  # which all seeds have among the items
        workspace=Workspace(config.run),
        recipes={recipe.name: recipe},
        recipe_paths={recipe.name: config.recipe[0]},
        guidelines={},
        train=[item.seed for item in items if item.sample_index == 0],
        evaluation=[],
        contaminated={},
    )
