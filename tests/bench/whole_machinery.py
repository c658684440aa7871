"""The other side of the saturation bench: `synthesize` itself.

A Serve replica, worker actors and published lease files. The time is read from the lease files:
from the first one's start to the last one's publication, so that opening the pool and starting
workers, which the bare engine has not, stay out of it.
"""

import os
import tempfile

from synth.calls.aio import run_until_interrupted
from synth.records import Outcome
from synth.run import Run
from synth.synthesize import RunOptions, synthesize
from synth.workspace.leases import lease_path
from synth.workspace.workspace import Workspace
from tests.bench.load import Load, Served, make_config, make_items, parse_load, tell
from tests.bench.recipes import ONE_CALL


def measure(load: Load) -> Served:
    """Synthesize the whole load in a run directory of its own."""
    with tempfile.TemporaryDirectory(prefix="guideweave-bench-") as folder:
        run = _make_run(load, folder)
        Workspace(folder).publish(make_items(load))
        outcomes = run_until_interrupted(synthesize(run, None, RunOptions()))
        if outcomes != {Outcome.OK: load.prompts}:
            raise RuntimeError(f"not every row was answered: {dict(outcomes)}")
        return _read(folder)


def _make_run(load: Load, folder: str) -> Run:
    """Return a run that owes what is planned and plans nothing more."""
    config = make_config(load, folder)
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


def _read(run: str) -> Served:
    workspace = Workspace(run)
    counts = dict(zip(workspace.finished(), workspace.counts(), strict=True))
    published = {name: os.stat(lease_path(run, name)).st_mtime for name in counts}
    started = min(published[name] - count.seconds for name, count in counts.items())
    return Served(
        replies=sum(count.rows for count in counts.values()),
        output_tokens=sum(count.output_tokens for count in counts.values()),
        seconds=max(published.values()) - started,
    )


if __name__ == "__main__":
    tell(measure(parse_load()))
