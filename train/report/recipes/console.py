"""The comparison as plain tables for a console."""

from collections.abc import Iterator
from typing import NamedTuple

from train.report.cells import Cell, Table
from train.report.recipes.comparison import read_comparison
from train.report.recipes.tables import answers_table, made_table


class ConsoleTable(NamedTuple):
    """What a table is made of there.

    Attributes:
        title: Above it; where n is too small to rank, that is its first line.
        columns: Headers.
        rows: A text a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def recipes_tables(run: str) -> Iterator[ConsoleTable]:
    """Yield the tables of the comparison that `compare_recipes` has written to `run`.

    Raises:
        FileNotFoundError: It has not.
    """
    found = read_comparison(run)
    for table in found["tables"]:
        for shown in (made_table(table), answers_table(table)):
            above = f"{found['first_line']} " if found["small"] else ""
            yield _plain(shown, above)


def _plain(shown: Table, above: str) -> ConsoleTable:
    rows = ((row.header, *map(_text, row.cells)) for row in shown.rows)
    return ConsoleTable(above + shown.caption, tuple(shown.columns), tuple(rows))


def _text(cell: Cell) -> str:
    return f"{cell.text} {cell.interval}".strip()
