"""`guideweave synthesize CONFIG`: seeds under guidelines become traces."""

from ray_jobs import stages
from ray_jobs.exits import DONE, UNFINISHED, finish
from ray_jobs.job import Job, dry_run_option, run_command
from ray_jobs.summary import outcomes_table, say_unmet
from synth.drive.holder import hold


@run_command
@dry_run_option
def command(job: Job) -> int:
    """Generate the traces a run still owes."""
    with hold(job.config.run, "synthesize", job.options.force):
        stages.first_checks(job.config)
        outcomes, unmet = stages.synthesize(stages.prepare(job.config), job.options)
    job.console.print(outcomes_table(outcomes))
    say_unmet(job.console, unmet)
    return UNFINISHED if unmet else DONE


if __name__ == "__main__":
    finish(command)
