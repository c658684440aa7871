"""From the runs of a comparison to `recipes.json` and `recipes.html`."""

import json
from collections.abc import Sequence

from synth import storage
from synth.errors import BadInput
from synth.run import CONFIG_FILE, read_config
from synth.workspace.stage import dump
from train.report.cells import Json
from train.report.recipes.page import render
from train.report.recipes.ranking import first_line
from train.report.recipes.runs import read_table_run, table_json

SCHEMA_VERSION = 1
DATA_FILE, PAGE_FILE = "recipes.json", "recipes.html"
TABLES = ("tokens", "rows")


def compare_recipes(run: str, tables: Sequence[str] = TABLES) -> str:
    """Write the comparison of the recipes of finished runs; return the path of its page.

    Equal runs give equal bytes. A table whose run is not there yet is left out and named.

    Args:
        run: Folder of the comparison, which holds a run for each table.
        tables: Their names.

    Raises:
        BadInput: None of them is a run directory.
    """
    found = comparison(run, tables)
    path = storage.join(run, PAGE_FILE)
    storage.replace(storage.join(run, DATA_FILE), dump(found))
    storage.replace(path, render(found).encode())
    return path


def comparison(run: str, tables: Sequence[str] = TABLES) -> Json:
    """Return what `recipes.json` holds."""
    there = [name for name in tables if read_config(storage.join(run, name))]
    if not there:
        rule = f"must hold a finished run in {' or '.join(tables)}"
        raise BadInput(
            file=storage.join(run, tables[0], CONFIG_FILE), field="run", value=run, rule=rule
        )
    made = [table_json(name, read_table_run(storage.join(run, name))) for name in there]
    return {
        "schema_version": SCHEMA_VERSION,
        "first_line": first_line(made),
        "small": any(table["small"] for table in made),
        "missing": [name for name in tables if name not in there],
        "tables": made,
    }


def read_comparison(run: str) -> Json:
    """Return the comparison that `compare_recipes` has written.

    Raises:
        FileNotFoundError: It has not.
    """
    return json.loads(storage.read(storage.join(run, DATA_FILE)))
