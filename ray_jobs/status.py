"""`guideweave status RUN`: how a run stands, from its files alone."""

import time
from collections.abc import Iterator
from functools import cache

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from guidelines.plain import one_line
from ray_jobs.console import clock, make_table, results_console
from ray_jobs.exits import finish
from ray_jobs.summary import categories_table, drops_table, outcomes_table
from synth.records import Outcome
from synth.status import Beat, Status, read_status
from synth.workspace.workspace import Workspace

WATCH_S = 5.0


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--watch", is_flag=True, help="Show it again every few seconds, until Ctrl-C.")
def command(run: str, watch: bool) -> None:
    """Show outcomes, drops, acceptance, speed, cost and time left of a run."""
    console = results_console()
    if not watch:
        console.print(view(read_status(run)))
        return
    try:
        _watch(console, run)
    except KeyboardInterrupt:
        return  # the only way to leave; nothing was interrupted


def _watch(console: Console, run: str) -> None:
    opened = cache(Workspace)  # what was read of each is kept from look to look
    with Live(view(read_status(run, opened)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(view(read_status(run, opened)), refresh=True)


def view(status: Status) -> RenderableType:
    """Return what people see of a status."""
    return Group(*_parts(status))


def _parts(status: Status) -> Iterator[RenderableType]:
    yield Text(
        f"{one_line(status.run)}: {status.leases_done} of {status.leases_planned} leases done, "
        f"{status.rows_planned:,} rows planned, {status.retried:,} tried again"
    )
    if status.beat is not None:
        yield Text(_beat(status.beat))
    if status.outcomes:
        yield outcomes_table(status.outcomes)
    if status.kinds and (not status.curated or _is_live(status)):
        yield _kinds_table(status)
    for cell, candidates in status.barren.items():
        gave = f"gets no more, its last {candidates} candidates gave nothing"
        yield Text(f"{one_line(', '.join(cell))}: {gave}")
    for policy, manifest in status.curated.items():
        yield categories_table(manifest)
        yield drops_table(manifest)
        yield _cost_table(status, policy)
    if status.batches:
        yield _batches_table(status)
    yield from map(Text, _spent(status))


def _cost_table(status: Status, policy: str) -> Table:
    tokens, money = status.tokens_per_accepted(policy), status.cost_per_accepted(policy)
    row = (
        policy,
        f"{status.accepted(policy):,}",
        "-" if tokens is None else f"{tokens:,.0f}",
        "-" if money is None else f"{money:,.4g}",
    )
    columns = ("Policy", "Accepted rows", "New tokens an accepted row", "Cost an accepted row")
    return make_table("Cost", columns, [row])


def _spent(status: Status) -> Iterator[str]:
    """Yield what the calls cost so far, in the currency of the prices, and what is not known."""
    if status.cost is not None:
        roles = ", ".join(f"{role} {money:,.2f}" for role, money in status.cost.by_role.items())
        least = "at least " if status.cost.uncounted else ""
        yield f"Cost so far: {least}{sum(status.cost.by_role.values()):,.2f} ({roles})"
    if status.uncounted:
        yield f"{status.uncounted:,} calls had no token count from their server: undetermined"


def _is_live(status: Status) -> bool:
    return status.beat is not None and not status.beat.ended


def _kinds_table(status: Status) -> Table:
    """Return how each category does before it is curated; accepted is what a quota has counted."""
    counted = status.accepted_so_far
    rows = []
    for (recipe, label, category), outcomes in status.kinds.items():
        total, ok = sum(outcomes.values()), outcomes.get(Outcome.OK, 0)
        accepted = "-" if counted is None else counted.get((recipe, label, category), 0)
        cells = (total, ok, f"{ok / total:.1%}", accepted)
        rows.append((f"{recipe}, {label}, {category}", *cells))
    columns = ("Arm, label, category", "Rows", "ok", "Share ok", "Accepted so far")
    return make_table("So far, by category", columns, rows)


def _batches_table(status: Status) -> Table:
    rows = [
        (name, ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(states.items())))
        for name, states in status.batches.items()
    ]
    columns = ("Batch", "Items")
    return make_table("Answers, verdicts and rewrites", columns, rows, texts=2)


def _beat(beat: Beat) -> str:
    what = "ended" if beat.ended else "last sign of life"
    sign = f"{one_line(beat.stage)}: {what} {clock(beat.age_s)} ago"
    if not beat.planned:  # training, judging by rules, and the like: there are no rows to count
        return sign
    left = "" if beat.left_s is None else f", {clock(beat.left_s)} left"
    return f"{sign}, {beat.done:,} of {beat.planned:,} rows, {beat.tokens_per_s:.0f} tok/s{left}"


if __name__ == "__main__":
    finish(command)
