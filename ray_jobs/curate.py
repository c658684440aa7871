"""`guideweave curate CONFIG`: traces become training data, or dropped with a reason."""

from ray_jobs import stages
from ray_jobs.exits import DONE, UNFINISHED, finish
from ray_jobs.job import Job, dry_run_option, run_command
from ray_jobs.summary import acceptance_table, drops_table, say_unmet
from synth.dataset import curate_run
from synth.drive.holder import hold
from synth.status import none_accepted


@run_command
@dry_run_option
def command(job: Job) -> int:
    """Judge the traces and write shards, drops and the dataset card."""
    with hold(job.config.run, "curate", job.options.force):
        manifest = curate_run(stages.prepare(job.config))
    job.console.print(acceptance_table(manifest), drops_table(manifest))
    unmet = tuple(none_accepted(manifest))
    say_unmet(job.console, unmet)
    return UNFINISHED if unmet else DONE


if __name__ == "__main__":
    finish(command)
