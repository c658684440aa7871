"""The stages of the scale bench, each run as a process: `... STAGE ROWS WORKERS FOLDER`.

`make` generates a run's rows, `resume` finds that it is finished, `curate` makes its shards.
Each prints its seconds, those of `resume` with what the process took to load.
"""

import json
import sys
import time
from pathlib import Path

import psutil
import yaml

from synth.calls.aio import run_until_interrupted
from synth.config.schema import (
    CurateConfig,
    Limits,
    ModelConfig,
    SamplingConfig,
    SeedsConfig,
    SynthConfig,
)
from synth.dataset import curate_run
from synth.records import Outcome, digest
from synth.run import Run, load_run
from synth.synthesize import RunOptions, synthesize

SAMPLES = 100  # a seed
CATEGORIES = 10


def write_inputs(rows: int, folder: Path) -> None:
    """Write seeds for `rows` rows, and a policy that keeps every sample that is fit."""
    folder.mkdir(parents=True)
    with (folder / "seeds.jsonl").open("w") as file:
        for number in range(rows // SAMPLES):
            file.write(json.dumps(_seed(number)) + "\n")
    (folder / "all.yaml").write_text(yaml.safe_dump({"per_prompt": SAMPLES}))


def _seed(number: int) -> dict[str, str]:
    # Prompts that differ in a digit or two would be near duplicates.
    return {
        "prompt": f"What would you tell a child about {digest(number)}, and why does it matter?",
        "label": "benign",
        "category": f"category {number % CATEGORIES}",
    }


def make_config(folder: Path, workers: int | None) -> SynthConfig:
    """Return the configuration of the run in `folder`."""
    return SynthConfig(
        run=str(folder / "run"),
        recipe=("refusal",),
        guidelines=(),
        seeds=SeedsConfig(path=str(folder / "seeds.jsonl"), eval_share=0),
        samples=SAMPLES,
        teacher=ModelConfig(model="scripted"),
        sampling=SamplingConfig(max_tokens=64),
        curate=CurateConfig(policy=str(folder / "all.yaml")),
        limits=Limits(workers=workers),
    )


def make(run: Run) -> dict[str, object]:
    """Generate every row."""
    return dict(run_until_interrupted(synthesize(run, None, RunOptions(force=True))))


def resume(run: Run) -> dict[str, object]:
    """Find that nothing is left, without Ray."""
    found = make(run)
    if "ray" in sys.modules:
        raise RuntimeError("Ray was loaded to find that nothing is left")
    return found


def curate(run: Run) -> dict[str, object]:
    """Judge, select and write."""
    manifest = curate_run(run)
    return {"accepted": sum(manifest["accepted"].values())}


def main() -> None:
    """Run one stage."""
    stage, rows, workers, folder = sys.argv[1:]
    started = time.time()
    run = load_run(make_config(Path(folder), None if workers == "default" else int(workers)))
    found = _STAGES[stage](run)
    if stage != "curate" and found != {Outcome.OK: int(rows)}:
        raise RuntimeError(f"not every row was made: {found}")
    since = psutil.Process().create_time() if stage == "resume" else started
    print(json.dumps({"seconds": time.time() - since, **found}))


def words(stage: str, rows: int, workers: int | None, folder: Path) -> list[str]:
    """Return the command line of a stage."""
    told = "default" if workers is None else str(workers)
    return [sys.executable, "-m", "tests.bench.scale_sides", stage, str(rows), told, str(folder)]


_STAGES = {"make": make, "resume": resume, "curate": curate}

if __name__ == "__main__":
    main()
