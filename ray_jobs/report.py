"""`guideweave report CONFIG`: one self-contained page about the run."""

import click

from ray_jobs.console import say
from ray_jobs.exits import finish
from ray_jobs.job import Job, run_command
from train.report import write_report


@run_command
@click.option("--unredacted", is_flag=True, help="Show harmful prompts and generated text.")
def command(job: Job, unredacted: bool) -> None:
    """Write report.html from what the run holds so far."""
    say(write_report(job.config.run, redact=not unredacted))


if __name__ == "__main__":
    finish(command)
