"""`guideweave evaluate CONFIG`: the base model and its students answer the same prompts."""

from ray_jobs import stages
from ray_jobs.exits import finish
from ray_jobs.job import Job, run_command
from ray_jobs.summary import results_tables


@run_command
def command(job: Job) -> None:
    """Ask the base model and the students, and compare them."""
    stages.evaluate_students(job.config, job.options)
    job.console.print(*results_tables(job.config.run))


if __name__ == "__main__":
    finish(command)
