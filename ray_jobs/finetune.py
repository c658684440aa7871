"""`guideweave finetune CONFIG`: the models that the recipes train."""

from ray_jobs import stages
from ray_jobs.console import say
from ray_jobs.exits import finish
from ray_jobs.job import Job, run_command
from ray_jobs.summary import students_table
from synth.drive.holder import hold


@run_command
def command(job: Job) -> None:
    """Train what is owed and whose data are there."""
    section = stages.section_of(job.config)
    with hold(job.config.run, "finetune", job.options.force):
        run = stages.prepare(job.config)
        stages.check_curated(run)
        found = stages.train_students(run, section)
    job.console.print(students_table(found.manifests))
    if found.waiting:
        say(f"run synthesize and curate for the next steps of: {', '.join(found.waiting)}")


if __name__ == "__main__":
    finish(command)
