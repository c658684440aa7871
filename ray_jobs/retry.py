"""`guideweave retry RUN`: plan failed items again."""

import click

from ray_jobs.exits import finish
from synth.dataset import retry_failed


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
def command(run: str) -> None:
    """Plan every failed item of a run again; the run's own command then makes them."""
    click.echo(f"{retry_failed(run)} failed items are planned again")


if __name__ == "__main__":
    finish(command)
