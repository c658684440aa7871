"""`guideweave finetune CONFIG`: a student an arm."""

from ray_jobs import stages
from ray_jobs.exits import finish
from ray_jobs.job import Job, run_command
from ray_jobs.summary import students_table


@run_command
def command(job: Job) -> None:
    """Train a student on each arm's data."""
    job.console.print(students_table(stages.train_students(job.config)))


if __name__ == "__main__":
    finish(command)
