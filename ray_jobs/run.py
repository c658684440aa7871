"""`guideweave run CONFIG`: synthesize, curate, finetune, evaluate, report."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from ray_jobs import stages
from ray_jobs.console import say
from ray_jobs.exits import DONE, UNFINISHED, finish
from ray_jobs.job import Job, dry_run_option, run_command
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
from train.report import write_report

log = logging.getLogger(__name__)

T = TypeVar("T")


@run_command
@dry_run_option
def command(job: Job) -> int:
    """Do the whole flow, whatever the configuration names of it; what is done stays done."""
    config, console = job.config, job.console
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        log.info("%s", stage)
        started = time.monotonic()
        done = work()
        seconds[stage] = time.monotonic() - started
        return done

    timed("check", lambda: stages.first_checks(config))
    run = timed("prepare", lambda: stages.prepare(config))
    outcomes, unmet = timed("synthesize", lambda: stages.synthesize(run, job.options))
    console.print(outcomes_table(outcomes))
    manifest = timed("curate", lambda: curate_run(run))
    console.print(acceptance_table(manifest), drops_table(manifest))
    if config.finetune is not None:
        console.print(students_table(timed("finetune", lambda: stages.train_students(config))))
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
