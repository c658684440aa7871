"""`guideweave retry RUN`: plan failed items again, and set damaged files aside."""

import click

from guidelines.plain import one_line
from ray_jobs.exits import finish
from synth.dataset import retry_failed, set_apart_damaged


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--damaged", is_flag=True, help="First move files aside that can not be read.")
def command(run: str, damaged: bool) -> None:
    """Plan every failed item of a run again; the run's own command then makes them."""
    for path in set_apart_damaged(run) if damaged else ():
        click.echo(f"{one_line(path)}: damaged, moved aside; what it held is owed again")
    click.echo(f"{retry_failed(run)} failed items are planned again")


if __name__ == "__main__":
    finish(command)
