"""`guideweave evaluate CONFIG`: the base model and its students answer the same prompts."""

from ray_jobs import stages
from ray_jobs.exits import DONE, UNFINISHED, finish
from ray_jobs.job import Job, run_command
from ray_jobs.summary import results_tables, say_unmet
from synth.drive.holder import hold


@run_command
def command(job: Job) -> int:
    """Ask the base model and the students, and compare them."""
    with hold(job.config.run, "evaluate", job.options.force):
        unmet = stages.evaluate_students(job.config, job.options)
    job.console.print(*results_tables(job.config.run))
    say_unmet(job.console, unmet)
    return UNFINISHED if unmet else DONE


if __name__ == "__main__":
    finish(command)
