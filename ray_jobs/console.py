"""What people see: results on stdout, live progress on stderr, nothing a terminal would act on.

Text of models and files goes to a screen through `say`, `make_table`, or `guidelines.plain`.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from guidelines.plain import one_line
from synth.drive.drive import Progress as DriveProgress
from synth.synthesize import Tell

PLAIN_WIDTH = 160  # of tables in a log, where there is no terminal to ask
PLAIN_EVERY_S = 10.0

log = logging.getLogger(__name__)


def results_console() -> Console:
    """Return the console of results."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH, highlight=False)


def progress_console() -> Console:
    """Return the console of progress and of the log."""
    return Console(stderr=True)


def say(text: object) -> None:
    """Print one line of results, whatever it holds."""
    click.echo(one_line(str(text)))


def make_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1
) -> Table:
    """Return a table whose first `texts` columns are text and the others numbers."""
    shown = escape(one_line(title))
    table = Table(title=shown, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(escape(one_line(column)), justify="left" if index < texts else "right")
    for row in rows:
        table.add_row(*(escape(one_line(str(cell))) for cell in row))
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A drive's numbers at a moment.

    Attributes:
        done: Rows that have ended.
        planned: Rows handed to the drive.
        outcomes: Ended rows by outcome.
        rows_per_s: Mean rate so far; None at the first look.
        tokens_per_s: Output tokens, likewise.
        left_s: Time left at that rate; None before the first row has ended, and at the end.
    """

    done: int
    planned: int
    outcomes: dict[str, int]
    rows_per_s: float | None
    tokens_per_s: float | None
    left_s: float | None

    def __str__(self) -> str:
        parts = [f"{self.done}/{self.planned} rows"]
        parts += [f"{name} {rows}" for name, rows in sorted(self.outcomes.items())]
        if self.rows_per_s is not None:
            parts += [f"{self.rows_per_s:.2f} rows/s", f"{self.tokens_per_s:.0f} tok/s"]
        if self.left_s is not None:
            parts.append(f"{clock(self.left_s)} left")
        return " · ".join(parts)


def pace(progress: DriveProgress, elapsed_s: float) -> Pace:
    """Return the pace of a drive that has worked for `elapsed_s`."""
    done, tokens = progress.outcomes.total(), progress.output_tokens
    left = max(0, progress.rows_planned - done)
    return Pace(
        done=done,
        planned=progress.rows_planned,
        outcomes=dict(progress.outcomes),
        rows_per_s=done / elapsed_s if elapsed_s else None,
        tokens_per_s=tokens / elapsed_s if elapsed_s else None,
        left_s=left * elapsed_s / done if left and elapsed_s and done else None,
    )


def clock(seconds: float) -> str:
    """Return a duration as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def live_progress(console: Console) -> Iterator[Tell]:
    """Yield what a stage tells its numbers: a bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Since:
    """When the drive began whose numbers come; a stage may hold several, one after the other."""

    def __init__(self) -> None:
        self._drive: DriveProgress | None = None
        self._began = 0.0

    def __call__(self, progress: DriveProgress, now: float) -> float:
        if progress is not self._drive:
            self._drive, self._began = progress, now
        return self._began


class _Lines:
    """Logs a line when a stage begins, and every `PLAIN_EVERY_S` after."""

    def __init__(self) -> None:
        self._since = _Since()
        self._told = float("-inf")

    def __call__(self, stage: str, progress: DriveProgress) -> None:
        now = time.monotonic()
        started = self._since(progress, now)
        if now - self._told >= PLAIN_EVERY_S or progress.leases_done == progress.leases_planned:
            self._told = now
            log.info("%s: %s", stage, pace(progress, now - started))


class _Bars:
    """One bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._since = _Since()
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, progress: DriveProgress) -> None:
        now = time.monotonic()
        if stage not in self._tasks:
            name = escape(one_line(stage))
            self._tasks[stage] = self._bars.add_task(name, pace="")
        found = pace(progress, now - self._since(progress, now))
        self._bars.update(
            self._tasks[stage], completed=found.done, total=found.planned, pace=str(found)
        )
