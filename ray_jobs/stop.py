"""`guideweave stop RUN`: remove the run's pools from its cluster."""

import click

from ray_jobs.console import progress_console
from ray_jobs.exits import finish
from ray_jobs.logs import logging_to
from synth.dataset import stop_run


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
def command(run: str) -> None:
    """Remove the pools that a run has left on a cluster."""
    try:
        with logging_to(progress_console()):
            removed = stop_run(run)
    except ConnectionError:
        click.echo("no cluster is running here; pools of a local run end with its driver")
        return
    click.echo(f"removed {', '.join(removed)}" if removed else "the run has no pools")


if __name__ == "__main__":
    finish(command)
