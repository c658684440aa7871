"""What the commands and Python users share: a configuration becomes a dataset in a few calls."""

import asyncio
import builtins
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from synth import curate as curation
from synth.calls.aio import run_until_interrupted
from synth.config.schema import CurateConfig, SynthConfig
from synth.curate.counting import Counting
from synth.curate.rules import Drop
from synth.measures.store import Map
from synth.records import Outcome
from synth.run import Run, load_run, read_config, run_digest, workspace_of
from synth.status import check_is_run
from synth.students import current_traces, has_students, model_ids
from synth.synthesize import RunOptions, synthesize
from synth.token_budget import ACCOUNT, over_budget
from synth.workspace.damage import set_apart_damaged_files
from synth.workspace.ids import find_rows
from synth.workspace.plan import lease_rows
from synth.workspace.stage import Manifest
from synth.workspace.workspace import Workspace, batch_folders

MANY_LEASES = 32  # fewer are judged sooner in this process than a cluster starts


@dataclass(frozen=True, slots=True)
class Dataset:
    """A run with its traces made and curated.

    Attributes:
        run: What it was made from.
        manifest: Shards, counts and drop reasons of the run's policy.
    """

    run: Run
    manifest: Manifest

    def traces(self) -> pa.Table:
        """Return every trace, accepted or not: the highest try of each item."""
        return self.run.workspace.traces()

    def curate(self, policy: str) -> "Dataset":
        """Return the same traces curated under another policy; nothing is generated again."""
        section = CurateConfig(policy=policy)
        config = self.run.config.model_copy(update={"curate": section})
        run = dataclasses.replace(self.run, config=config)
        return Dataset(run, curate_run(run))


def build_dataset(config: SynthConfig, options: RunOptions | None = None) -> Dataset:
    """Make a run's traces and curate them; what is there already is not made again.

    Args:
        config: The run; see `load_config`.
        options: How to go about it.

    Raises:
        BadInput: The configuration, or something it names, is unusable.
        RunFault: The run can not go on; calling again resumes it.
    """
    run = load_run(config)
    make_traces(run, options or RunOptions())
    return Dataset(run, curate_run(run))


def make_traces(run: Run, options: RunOptions, counting: Counting | None = None) -> Counter[str]:
    """Generate what the run owes; return rows by outcome.

    Args:
        run: The run.
        options: How to go about it.
        counting: Counts for a quota; `counting_of(run)` where None.
    """
    return run_until_interrupted(synthesize(run, counting or counting_of(run), options))


def curate_run(run: Run) -> Manifest:
    """Curate the run's traces under its policy; return the manifest."""
    opened = read_config(run.config.run)
    return curation.curate(
        run.config,
        run.workspace,
        recipes=run.recipes,
        evaluation_prompts=run.evaluation_prompts,
        guideline_sets=list(run.guidelines.values()),
        fingerprint=opened.get("fingerprint", {}),
        drift=opened.get("drift", []),
        excluded=excluded_traces(run),
        map=_spread(run.config),
    )


def excluded_traces(run: Run) -> dict[str, Drop]:
    """Return the traces that cannot be used for training, and why, by `row_id`.

    They are stale (`synth/students.py`), or came after their recipe's tokens were spent
    (`synth/token_budget.py`).
    """
    excluded: dict[str, Drop] = {}
    for name, recipe in run.recipes.items():
        if run.config.tokens is None and not has_students(recipe):
            continue
        traces = run.workspace.traces([name], ACCOUNT)
        kept = current_traces(recipe, traces, model_ids(run.config, recipe))
        stale = find_rows(traces["row_id"], kept["row_id"]) < 0
        stale_ids = traces["row_id"].filter(pa.array(stale)).to_pylist()
        excluded |= dict.fromkeys(stale_ids, Drop.STALE)
        if run.config.tokens is not None:
            over = over_budget(run.config.tokens, recipe, kept)
            excluded |= dict.fromkeys(over, Drop.OVER_BUDGET)
    return excluded


def counting_of(run: Run) -> Counting | None:
    """Return what counts the traces that curation would keep; None for a run without a quota."""
    if run.config.accepted is None:
        return None
    return Counting(
        run.config,
        run.workspace,
        recipes=run.recipes,
        seeds=run.train,
        evaluation_prompts=run.evaluation_prompts,
        guideline_sets=list(run.guidelines.values()),
        find_excluded=partial(excluded_traces, run),
        map=_spread(run.config),
    )


def _spread(config: SynthConfig) -> Map:
    """Return a `map` that uses the cluster where there is much to do."""

    def spread(function: Callable[[str], None], arguments: Iterable[str]) -> Iterator[None]:
        leases = list(arguments)
        if config.limits.workers == 0 or len(leases) < MANY_LEASES:
            yield from builtins.map(function, leases)
            return
        # Ray comes up only where it pays.
        from synth.cluster.joining import join_ray, ray_map  # noqa: PLC0415

        join_ray()
        yield from ray_map(function, leases)

    return spread


def set_apart_damaged(run: str) -> list[str]:
    """Move the damaged files of a run and of its batches aside; return where they stood.

    Raises:
        BadInput: `run` is no run directory.
    """
    check_is_run(run)
    folders = dict.fromkeys((run, workspace_of(run), *batch_folders(run).values()))
    return [path for folder in folders for path in set_apart_damaged_files(folder)]


def retry_failed(run: str) -> int:
    """Plan every item that failed again, and return how many; the run's command makes them.

    Those of its batches, such as an evaluation's answers and verdicts, are planned as well.

    Raises:
        BadInput: `run` is no run directory.
    """
    check_is_run(run)
    workspaces = map(Workspace, (workspace_of(run), *batch_folders(run).values()))
    return sum(_retry(workspace) for workspace in workspaces)


def _retry(workspace: Workspace) -> int:
    rows = lease_rows(workspace.outcomes()[Outcome.FAILED])
    return workspace.plan_more(lambda: workspace.again([Outcome.FAILED]), rows=rows)


def stop_run(run: str) -> list[str]:
    """Remove the pools of `run` from the cluster that can be reached; return their names.

    Raises:
        ConnectionError: There is no cluster: pools of a local run end with their driver.
    """
    # Ray only where a cluster is asked for something.
    import ray  # noqa: PLC0415

    from synth.pools.lifecycle import remove_pools  # noqa: PLC0415

    check_is_run(run)
    ray.init(address="auto", log_to_driver=False)
    try:
        return asyncio.run(remove_pools(run_digest(run)))
    finally:
        ray.shutdown()
