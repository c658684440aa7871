"""`guideweave status RUN`: how a run stands, from its files alone."""

import time
from collections.abc import Iterator

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ray_jobs.console import clock, make_table, printable, results_console
from ray_jobs.exits import finish
from ray_jobs.summary import categories_table, drops_table, outcomes_table
from synth.status import Beat, Footers, Status, read_status

WATCH_S = 5.0


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--watch", is_flag=True, help="Show it again every few seconds, until Ctrl-C.")
def command(run: str, watch: bool) -> None:
    """Show outcomes, drops, acceptance, speed, cost and time left of a run."""
    footers, console = Footers(run), results_console()
    if not watch:
        console.print(view(read_status(run, footers)))
        return
    try:
        _watch(console, run, footers)
    except KeyboardInterrupt:
        return  # the only way to leave; nothing was interrupted


def _watch(console: Console, run: str, footers: Footers) -> None:
    with Live(view(read_status(run, footers)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(view(read_status(run, footers)), refresh=True)


def view(status: Status) -> RenderableType:
    """Return what people see of a status."""
    return Group(*_parts(status))


def _parts(status: Status) -> Iterator[RenderableType]:
    yield Text(
        f"{printable(status.run)}: {status.leases_done} of {status.leases_planned} leases done, "
        f"{status.rows_planned:,} rows planned, {status.retried:,} tried again"
    )
    if status.beat is not None:
        yield Text(_beat(status.beat))
    if status.outcomes:
        yield outcomes_table(status.outcomes)
    for policy, manifest in status.curated.items():
        yield categories_table(manifest)
        yield drops_table(manifest)
        cost = status.tokens_per_accepted(policy)
        per_row = "-" if cost is None else f"{cost:,.0f}"
        rows = [(printable(policy), f"{status.accepted(policy):,}", per_row)]
        columns = ("Policy", "Accepted rows", "New tokens an accepted row")
        yield make_table("Cost", columns, rows)


def _beat(beat: Beat) -> str:
    what = "ended" if beat.ended else "last sign of life"
    left = "" if beat.left_s is None else f", {clock(beat.left_s)} left"
    return (
        f"{printable(beat.stage)}: {what} {clock(beat.age_s)} ago, {beat.done:,} of "
        f"{beat.planned:,} rows, {beat.tokens_per_s:.0f} tok/s{left}"
    )


if __name__ == "__main__":
    finish(command)
