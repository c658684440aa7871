"""How does a run bear many rows? `python -m tests.bench.scale [--rows 10000 100000]`

Runs of 10 k, 100 k and 1 M rows (a hundred samples a seed) through the scripted chat in the
workers' own processes: `rows_per_s` of the largest from its seeds' loading to its last lease, Ray
and planning included; `bytes_per_row` by which the memory of driver and workers (PSS, at most) is
above the smallest run's, for each row more; `resume_s` for a new process to find that the largest
run is finished, what it takes to load among it. Then each is curated.

With `--workers 0` recipes and measures run in the driver's process, without Ray.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from synth.config.schema import (
    CurateConfig,
    Limits,
    ModelConfig,
    SamplingConfig,
    SeedsConfig,
    SynthConfig,
)
from synth.dataset import curate_run, make_traces
from synth.records import Outcome, digest
from synth.run import load_run
from synth.synthesize import RunOptions
from tests.bench import harness
from tests.bench.harness import Json, TreeMemory

SIZES = (10_000, 100_000, 1_000_000)
SAMPLES = 100  # a seed
CATEGORIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run.

    Attributes:
        folder: Of its seeds, policy and run directory.
        rows: To make.
        workers: Recipe workers; None takes as many as a run does by default.
    """

    folder: str = ""
    rows: int = 0
    workers: int | None = None


def bench() -> Json:
    """Measure each size."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, default=None)
    known = parser.parse_args()
    sizes = []
    for rows in sorted(known.rows):
        sizes.append(measure(rows, known.workers))
        harness.say(f"{sizes[-1]}")
    return summarize(sizes) | {"workers": known.workers}


def measure(rows: int, workers: int | None) -> Json:
    """Make, resume and curate a run of `rows` rows."""
    making, curating = TreeMemory(), TreeMemory()
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        load = Load(folder=folder, rows=rows, workers=workers)
        write_inputs(load)
        made = harness.run_side("scale", "make", load, making.look)
        resumed = harness.run_side("scale", "resume", load)
        curated = harness.run_side("scale", "curate", load, curating.look)
    return {
        "rows": rows,
        "rows_per_s": round(rows / made["seconds"], 1),
        "pss_bytes": making.most_bytes,
        "resume_s": round(resumed["seconds"], 2),
        "curated_per_s": round(rows / curated["seconds"], 1),
        "curate_pss_bytes": curating.most_bytes,
        "accepted": curated["accepted"],
    }


def summarize(sizes: list[Json]) -> Json:
    """Return what others read: of the largest size, its memory against the smallest's."""
    least, most = sizes[0], sizes[-1]
    more = most["rows"] - least["rows"]
    bytes_more = most["pss_bytes"] - least["pss_bytes"]
    return {
        "rows_per_s": most["rows_per_s"],
        "bytes_per_row": round(bytes_more / more, 1) if more else None,
        "resume_s": most["resume_s"],
        "sizes": sizes,
    }


def write_inputs(load: Load) -> None:
    """Write seeds for all rows, and a policy that keeps every sample that is fit."""
    folder = Path(load.folder)
    with (folder / "seeds.jsonl").open("w") as file:
        for number in range(load.rows // SAMPLES):
            file.write(json.dumps(_seed(number)) + "\n")
    (folder / "all.yaml").write_text(yaml.safe_dump({"per_prompt": SAMPLES}))


def _seed(number: int) -> dict[str, str]:
    # Prompts that differ in a digit or two would be near duplicates.
    return {
        "prompt": f"What would you tell a child about {digest(number)}, and why does it matter?",
        "label": "benign",
        "category": f"category {number % CATEGORIES}",
    }


def make_config(load: Load) -> SynthConfig:
    """Return the run's configuration."""
    return SynthConfig(
        run=f"{load.folder}/run",
        recipe=("refusal",),
        guidelines=(),
        seeds=SeedsConfig(path=f"{load.folder}/seeds.jsonl", eval_share=0),
        samples=SAMPLES,
        teacher=ModelConfig(model="scripted"),
        sampling=SamplingConfig(max_tokens=64),
        curate=CurateConfig(policy=f"{load.folder}/all.yaml"),
        limits=Limits(workers=load.workers),
    )


def make(load: Load) -> Json:
    """Generate every row."""
    started = time.time()
    _make(load)
    return {"seconds": time.time() - started}


def resume(load: Load) -> Json:
    """Find that nothing is left, without Ray."""
    _make(load)
    if "ray" in sys.modules:
        raise RuntimeError("Ray was loaded to find that nothing is left")
    return {"seconds": time.time() - psutil.Process().create_time()}


def _make(load: Load) -> None:
    outcomes = make_traces(load_run(make_config(load)), RunOptions())
    if outcomes != {Outcome.OK: load.rows}:
        raise RuntimeError(f"not every row was made: {dict(outcomes)}")


def curate(load: Load) -> Json:
    """Judge, select and write."""
    started = time.time()
    manifest = curate_run(load_run(make_config(load)))
    accepted = sum(manifest["accepted"].values())
    return {"seconds": time.time() - started, "accepted": accepted}


if __name__ == "__main__":
    harness.main(bench, {"make": make, "resume": resume, "curate": curate}, Load)
