"""The comparison of recipes as `recipes.json`, as a page and as plain tables for a console."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synth import storage
from synth.errors import BadInput
from synth.run import CONFIG_FILE, read_config
from synth.workspace.stage import dump
from train.evals.attacks import PLAIN
from train.evals.stats import MIN_SEEDS
from train.report.page import template
from train.report.recipes.answers import first_line
from train.report.recipes.runs import read_table_run, table_json
from train.report.tables import (
    NONE,
    Json,
    Table,
    TableCell,
    TableRow,
    asr_name,
    known,
    listed,
    number,
    percent,
    points,
)

TITLES = {"tokens": "At equal generated tokens", "rows": "At equal training rows"}

TEMPLATE = "recipes.html"
MEGABYTE = 1e6

COLUMNS = {
    "Generated tokens": "What the models wrote for a recipe: every step, every try, good or not.",
    "Traces": "What came of that within the budget: every step, failures too. Accepted are those "
    "that curation made training rows of.",
    "Acceptance": "Of the traces that could become training rows, the share that curation kept. "
    "What a recipe filters before that, or rejects by a rule of its own, counts as well.",
    "Tokens per accepted row": "Everything generated within the budget over the rows accepted: "
    "the cost of earlier steps, of retries and of what was rejected is in it.",
    "Pairs": "Made for each training on pairs; a prompt whose traces do not differ has none.",
    "Trained rows": "Rows, or pairs, that each training used; some are held out, or too long.",
    "ASR": "Attack success: the share of answers to harmful prompts that the judge finds unsafe. "
    "Plain is without an attack; families of attacks count alike in their mean.",
    "Over-refusal": "Full and partial refusals of benign prompts, without an attack, by rules.",
    "Discrimination": "Compliance on benign prompts minus compliance on harmful ones, by rules.",
    "Utility": "Share of harmless questions with known answers that are answered right.",
    "Reasoning tokens": "Mean length of the reasoning over all sampled answers to the suite's "
    "prompts, plain and attacked, in tokens of the student's own tokenizer; none counts as 0.",
    "Undetermined": "Answers without a verdict, of those to harmful, benign and utility prompts. "
    "They are in no rate.",
    "Intervals": "95 %, under each value. What belongs to a prompt and its benign twin is "
    "resampled together; a share of single answers has Wilson's interval.",
}

SCHEMA_VERSION = 1
DATA_FILE, PAGE_FILE = "recipes.json", "recipes.html"
TABLES = ("tokens", "rows")


def title(table: Json) -> str:
    """Return what a table is called."""
    return TITLES.get(table["table"], table["table"])


def made_table(table: Json) -> Table:
    """Return what each recipe made, and what that cost."""
    rows = [
        TableRow(header=row["recipe"], cells=_made_cells(row))
        for row in table["recipes"]
        if "generated_tokens" in row
    ]
    return Table(
        caption=f"{title(table)}: what each recipe made, and what that cost.",
        columns=[
            "Recipe",
            "Format",
            "Generated tokens",
            "Traces",
            "Accepted",
            "Acceptance",
            "Tokens per accepted row",
            "Pairs",
            "Trained rows",
        ],
        rows=rows,
        texts=2,
    )


def answers_table(table: Json) -> Table:
    """Return what each recipe's student answers, beside the untrained model."""
    families = _families(table)
    rows = [
        TableRow(header=row["recipe"], cells=_answer_cells(row, families))
        for row in table["recipes"]
    ]
    return Table(
        caption=f"{title(table)}: what the students answer, on the suite {table['suite'] or NONE}. "
        f"{_asr_caption(table)}Lower is better; discrimination and utility: higher.",
        columns=[
            "Recipe",
            *(f"ASR, {family}" for family in families),
            "ASR, mean of the families under attack",
            "Over-refusal, benign",
            "Discrimination, points",
            "Utility",
            "Reasoning tokens",
            "Undetermined of answers",
        ],
        rows=rows,
    )


def judges(table: Json) -> list[Json]:
    """Return who judged attack success in a table: name, and whether it is a proxy."""
    found = [row["asr"] for row in table["recipes"] if row["evaluated"]]
    named = {one["judge"]: {"judge": one["judge"], "proxy": one["proxy"]} for one in found}
    return list(named.values())


def _made_cells(row: Json) -> list[TableCell]:
    return [
        TableCell(text=row["format"]),
        TableCell(text=f"{row['generated_tokens']:,}", interval=_within(row)),
        number(row["traces"]),
        number(row["accepted"]),
        percent(row["acceptance"]),
        amount(row["tokens_per_accepted_row"], 0),
        _by_training(row["pairs"]),
        _by_training(row["trained_rows"]["by_training"]),
    ]


def _answer_cells(row: Json, families: Sequence[str]) -> list[TableCell]:
    if not row["evaluated"]:
        return [TableCell(text=NONE)] * (len(families) + 6)
    asr = row["asr"]
    rates = [asr["families"].get(family) for family in families]
    return [
        *(percent(rate) for rate in rates),
        percent(asr["macro"]),
        percent(row["over_refusal"]),
        points(row["discrimination"]),
        percent(row["utility"]),
        amount(row["reasoning_tokens"], 1),
        _undetermined([*rates, row["over_refusal"], row["utility"]]),
    ]


def amount(found: Json | None, digits: int) -> TableCell:
    """Return an estimate of an amount, thousands apart."""
    if found is None or not known(found):
        return TableCell(text=NONE)
    interval = ""
    if found["low"] is not None:
        interval = f"[{found['low']:,.{digits}f}, {found['high']:,.{digits}f}]"
    return TableCell(text=f"{found['value']:,.{digits}f}", interval=interval)


def _within(row: Json) -> str:
    within = row["tokens_within_budget"]
    return "" if within is None else f"{within:,} within the budget"


def _by_training(counts: Json) -> TableCell:
    """Return a sum, and under it what each training has of it, where they are several."""
    if not counts:
        return TableCell(text=NONE)
    several = sorted(counts.items()) if len(counts) > 1 else []
    parts = ", ".join(f"{name} {n:,}" for name, n in several)
    return TableCell(text=f"{sum(counts.values()):,}", interval=parts)


def _undetermined(rates: Iterable[Json | None]) -> TableCell:
    """Return how many answers to harmful, benign and utility prompts have no verdict."""
    there = [rate for rate in rates if rate]
    missing, answers = (sum(rate[key] for rate in there) for key in ("undetermined", "answers"))
    return TableCell(text=f"{missing:,} / {answers:,}")


def _families(table: Json) -> list[str]:
    """Return the families of attacks; none at all comes first."""
    found = {
        family for row in table["recipes"] if row["evaluated"] for family in row["asr"]["families"]
    }
    return sorted(found, key=lambda family: (family != PLAIN, family))


def _asr_caption(table: Json) -> str:
    named = [asr_name(one["judge"]) for one in judges(table)]
    return f"{', '.join(named)}. " if named else ""


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


def _text(cell: TableCell) -> str:
    return f"{cell.text} {cell.interval}".strip()


class GlossaryEntry(NamedTuple):
    """One thing to know: what it is about, and a sentence or two."""

    name: str
    text: str


class PageSection(NamedTuple):
    """One table's part of the page."""

    id: str
    name: str
    what: str
    notes: list[str]
    tables: list[Table]


def render_comparison(found: Json) -> str:
    """Return the page."""
    sections = [_section(table) for table in found["tables"]]
    return template(TEMPLATE, Path(__file__).parent).render(
        first_line=found["first_line"],
        sections=sections,
        missing=found["missing"],
        columns=[GlossaryEntry(*one) for one in COLUMNS.items()],
        caveats=list(_caveats(found)),
    )


def _section(table: Json) -> PageSection:
    return PageSection(
        id=f"table-{table['table']}",
        name=title(table),
        what=table["what"],
        notes=table["notes"],
        tables=[made_table(table), answers_table(table)],
    )


def _caveats(found: Json) -> Iterator[GlossaryEntry]:
    """Yield what limits the tables, the gravest first."""
    judged = {one["judge"]: one["proxy"] for table in found["tables"] for one in judges(table)}
    if any(judged.values()):
        yield GlossaryEntry(
            "ASR is a proxy",
            "No guard has looked at the answers: one to a harmful prompt counts as unsafe unless "
            "a rule finds a full refusal. Harmless rambling counts as unsafe too.",
        )
    if judged:
        yield GlossaryEntry(
            "One judge",
            f"Attack success is what {listed(list(judged))} says, over-refusal and discrimination "
            "are what the refusal rules say. Another judge may order the recipes otherwise.",
        )
    yield GlossaryEntry(
        "One training seed",
        "A student stands here for its recipe. Another training seed may change a row more than "
        f"its intervals say: claims about methods take at least {MIN_SEEDS} seeds each.",
    )
    yield from _origins(found)
    yield GlossaryEntry(
        "Many comparisons",
        "No interval is adjusted for the number of recipes and columns: of twenty, one misses "
        "its value by chance.",
    )
    yield GlossaryEntry(
        "Re-implementations",
        "The recipes follow their papers on one engine, with one curation and one training loop. "
        "A row is no judgement of a paper's own code, data or models.",
    )


def _origins(found: Json) -> Iterator[GlossaryEntry]:
    names = {
        one["name"] or "a model without a name": one["bytes"]
        for table in found["tables"]
        for one in table["students_of"]
    }
    if names:
        told = [f"{name} ({n / MEGABYTE:,.0f} MB of weights)" for name, n in names.items()]
        yield GlossaryEntry(
            "The student's size",
            f"All students are trained from {listed(told)}. What helps a model of one size need "
            "not help one of another.",
        )


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
    storage.replace(path, render_comparison(found).encode())
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
