"""What does a quota cost? `python -m tests.bench.quota`

50 categories of which 200 rows each are wanted, from a scripted chat of which curation keeps 40 %
by its real rules, without Ray; and categories of which it keeps nothing. `candidates_over_ideal`
is of the categories that can be met, over wanted rows / acceptance; `barren_candidates` the most
that a category cost of which nothing is kept; `last_over_first` the rows a second of the run's
last tenth over its first. Then a run of the same is interrupted at even distances and resumed:
`sigint_to_exit_s` is the longest time that a driver took to leave.
"""

import json
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.compute as pc

from synth.config.schema import Accepted, Limits, ModelConfig, SeedsConfig, SynthConfig
from synth.curate.counting import AcceptedCount, Counting
from synth.dataset import make_traces
from synth.records import Message, Outcome, Sampling
from synth.run import Run, load_run
from synth.synthesize import RunOptions
from synth.workspace.leases import lease_path
from synth.workspace.plan import round_path
from synth.workspace.workspace import Workspace
from tests.bench import harness
from tests.bench.harness import Json

SEEDS_OVER_IDEAL = 2.0
BUDGET_OVER_IDEAL = 2.4
LETTERS = "abcdefghijklmnopqrstuvwxyz"
KEPT, DROPPED = "ever", "never"  # in a prompt: what curation does with the answer to it
EXIT_DEADLINE_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run.

    Attributes:
        categories: That can be met.
        quota: Rows wanted of each.
        barren: Further categories, of which nothing is kept.
        acceptance: Share of the other categories' candidates that is kept.
        folder: Of seeds and run.
    """

    categories: int = 50
    quota: int = 200
    barren: int = 1
    acceptance: float = 0.4
    folder: str = ""

    @property
    def ideal(self) -> float:
        """Candidates that meet one category, if chance is kind."""
        return self.quota / self.acceptance


def bench() -> Json:
    """Measure a run, and how soon the same is left when it is interrupted."""
    parser = harness.make_parser(__doc__, Load())
    parser.add_argument("--interrupts", type=int, default=8)
    known = parser.parse_args()
    load = harness.read_load(known, Load)
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        load = replace(load, folder=folder)
        write_seeds(load)
        made = harness.run_side("quota", "make", load)
        harness.say(f"made: {made}")
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        load = replace(load, folder=folder)
        write_seeds(load)
        apart_s = made["seconds"] / (known.interrupts + 1)
        asked = [interrupt(load, apart_s) for _ in range(known.interrupts)]
    left_s = [seconds for seconds in asked if seconds is not None]
    exits = {"sigint_to_exit_s": max(left_s, default=None), "exits_s": left_s}
    return made | exits | vars(known)


def interrupt(load: Load, after_s: float) -> float | None:
    """Start or resume a run, interrupt it, and return the seconds until it has ended.

    None where it was done before.
    """
    with subprocess.Popen(harness.side_command("quota", "make", load)) as driver:
        time.sleep(after_s)
        driver.send_signal(signal.SIGINT)
        interrupted_at = time.perf_counter()
        try:
            status = driver.wait(EXIT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            driver.kill()
            raise
    seconds = time.perf_counter() - interrupted_at
    if status == 0:
        return None
    if status not in (harness.INTERRUPTED, -signal.SIGINT):
        raise RuntimeError(f"exit {status} after SIGINT")
    harness.say(f"left {seconds:.2f} s after SIGINT")
    return round(seconds, 2)


def write_seeds(load: Load) -> None:
    """Write prompts of random words, each saying what becomes of its answers."""
    draw = Random(0)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(4, 9))) for _ in range(4_000)]
    shares = {f"met {n}": load.acceptance for n in range(load.categories)}
    shares |= {f"barren {n}": 0.0 for n in range(load.barren)}
    with Path(load.folder, "seeds.jsonl").open("w") as file:
        for _ in range(int(SEEDS_OVER_IDEAL * load.ideal)):
            for category, share in shares.items():
                fate = KEPT if draw.random() < share else DROPPED
                prompt = f"What does one {fate} do with {' '.join(draw.sample(words, 8))}?"
                seed = {"prompt": prompt, "label": "benign", "category": category}
                file.write(json.dumps(seed) + "\n")


def make_config(load: Load) -> SynthConfig:
    """Return the run's configuration."""
    budget = int(BUDGET_OVER_IDEAL * load.ideal * load.categories)
    return SynthConfig(
        run=f"{load.folder}/run",
        recipe=("srg",),
        guidelines=("srg",),
        seeds=SeedsConfig(path=f"{load.folder}/seeds.jsonl", eval_share=0),
        accepted=Accepted(per_category=load.quota, budget=budget),
        teacher=ModelConfig(model="scripted", engine_args={"script": "tests.bench.quota:answer"}),
        limits=Limits(workers=0),
    )


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    """Write a well-formed answer; one to be dropped declines what it calls harmless."""
    fate, *words = messages[-1]["content"].rstrip("?").split()[3:]
    a, b, c, d, e, f, g, h = words[-8:]
    decision, text = "decline", f"I'm sorry, but I can't help with the {a} or with the {b}."
    if fate == KEPT:
        first = f"First put the {a} beside the {b}, then rub the {c} with a cloth"
        decision, text = "help", f"{first} until the {d} is dry. Keep the {e} in a drawer."
    return (
        f"## Request\nThe question is about the {a} and the {b}, and how somebody keeps the {c} "
        f"dry in a cold room.\n\n## Risk\nNobody is harmed by a {d} or by an {e} on a table, so "
        f"the {f} and the {g} leave no worry about the {h}.\n\n"
        f"## Decision\n{decision}\n\n## Answer\n{text}"
    )


class Curations(Counting):
    """Counts what curation would keep, and how often it has done so."""

    made = 0

    def __call__(self) -> AcceptedCount:
        before, found = self.last, super().__call__()
        self.made += found is not before
        return found


def make(load: Load) -> Json:
    """Make the run's rows, and read from its files what they cost."""
    started = time.perf_counter()
    run = load_run(make_config(load))
    curations = _curations(run)
    make_traces(run, RunOptions(force=True), curations)
    seconds = time.perf_counter() - started
    assert curations.last is not None
    accepted = curations.last.accepted.values()
    tenths = rows_per_s_by_tenth(run.workspace)
    return {
        **summarize(load, candidates_by_category(run.workspace)),
        "curations": curations.made,
        "last_over_first": round(tenths[-1] / tenths[0], 3),
        "cells_met": sum(rows >= load.quota for rows in accepted),
        "rows_per_s_by_tenth": [round(rate, 1) for rate in tenths],
        "seconds": round(seconds, 1),
    }


def _curations(run: Run) -> Curations:
    return Curations(
        run.config,
        run.workspace,
        recipes=run.recipes,
        seeds=run.train,
        evaluation_prompts=run.evaluation_prompts,
        guideline_sets=list(run.guidelines.values()),
    )


def summarize(load: Load, candidates: Counter[str]) -> Json:
    """Return what the candidates of each category come to."""
    barren = {name: rows for name, rows in candidates.items() if name.startswith("barren")}
    met = candidates.total() - sum(barren.values())
    return {
        "candidates_over_ideal": round(met / (load.ideal * load.categories), 4),
        "barren_candidates": max(barren.values(), default=None),
        "candidates": candidates.total(),
    }


def candidates_by_category(workspace: Workspace) -> Counter[str]:
    """Return the rows of each category that have been made, interrupted ones left out."""
    rows = workspace.traces(columns=["category", "outcome"])
    made = rows.filter(pc.field("outcome") != str(Outcome.INTERRUPTED))
    return Counter(made["category"].to_pylist())


def rows_per_s_by_tenth(workspace: Workspace) -> list[float]:
    """Return the rows a second of each tenth of the run's rows, from the first round's plan on.

    Their moments are those of the leases' publication. A lease may lie in two tenths.
    """
    names, counts = workspace.finished(), workspace.counts()
    leases = sorted(
        (Path(lease_path(workspace.path, name)).stat().st_mtime, one.rows)
        for name, one in zip(names, counts, strict=True)
    )
    planned_at = Path(round_path(workspace.path, 0)).stat().st_mtime
    published_at, rows = zip((planned_at, 0), *leases, strict=True)
    done = np.cumsum(rows)
    moments = np.interp(np.linspace(0, done[-1], 11), done, published_at)
    seconds = np.maximum(np.diff(moments), 1e-3)  # files' times are no finer
    return (done[-1] / 10 / seconds).tolist()


if __name__ == "__main__":
    harness.main(bench, {"make": make}, Load)
