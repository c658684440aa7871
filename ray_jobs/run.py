"""`guideweave run CONFIG`: synthesize, curate, finetune, evaluate, report."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from ray_jobs import stages
from ray_jobs.config import RunConfig
from ray_jobs.console import make_table, say
from ray_jobs.exits import DONE, UNFINISHED, finish
from ray_jobs.job import Job, dry_run_option, several_runs_command
from ray_jobs.summary import (
    acceptance_table,
    drops_table,
    outcomes_table,
    results_tables,
    say_unmet,
    students_table,
    times_table,
)
from synth.dataset import curate_run
from synth.drive.holder import Holder, hold
from synth.status import none_accepted
from train.report import write_report
from train.report.recipes import compare_recipes, recipes_tables

log = logging.getLogger(__name__)

T = TypeVar("T")


@several_runs_command
@dry_run_option
def command(job: Job) -> int:
    """Do the whole flow, whatever the configuration names of it; what is done stays done."""
    if tables := job.config.tables:
        return _compare(job, tables)
    return _hold_and_flow(job)


def _compare(job: Job, tables: Mapping[str, RunConfig]) -> int:
    """Run both runs of a comparison, then set their recipes side by side."""
    ends = [_hold_and_flow(replace(job, config=config)) for config in tables.values()]
    page = compare_recipes(job.config.run, tuple(tables))
    console = job.console
    for table in recipes_tables(job.config.run):
        console.print(make_table(*table))
    say(f"comparison: {page}")
    return max(ends)


def _hold_and_flow(job: Job) -> int:
    with hold(job.config.run, "check", job.options.force) as holder:
        return _flow(job, holder)


def _flow(job: Job, holder: Holder) -> int:
    """Do one run's whole flow."""
    config, console = job.config, job.console
    seconds: defaultdict[str, float] = defaultdict(float)

    def timed(stage: str, work: Callable[[], T]) -> T:
        log.info("%s", stage)
        holder.enter(stage)
        started = time.monotonic()
        done = work()
        seconds[stage] += time.monotonic() - started
        return done

    timed("check", lambda: stages.first_checks(config))
    run = timed("prepare", lambda: stages.prepare(config))
    while True:
        outcomes, unmet = timed("synthesize", lambda: stages.synthesize(run, job.options))
        console.print(outcomes_table(outcomes))
        manifest = timed("curate", lambda: curate_run(run))
        console.print(acceptance_table(manifest), drops_table(manifest))
        if (section := config.finetune) is None:
            break
        trained = timed("finetune", lambda: stages.train_students(run, section))
        console.print(students_table(trained.manifests))
        if not trained.waiting:
            break
        log.info("new students, whose steps follow: %s", ", ".join(trained.waiting))
    unmet += tuple(none_accepted(manifest))
    if config.evaluate is not None:
        unmet += timed("evaluate", lambda: stages.evaluate_students(config, job.options))
        console.print(*results_tables(config.run))
    report = timed("report", lambda: write_report(config.run))
    console.print(times_table(seconds))
    say_unmet(console, unmet)
    say(f"report: {report}")
    return UNFINISHED if unmet else DONE


if __name__ == "__main__":
    finish(command)
