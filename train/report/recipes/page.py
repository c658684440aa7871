"""The page of a comparison, from its JSON alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from train.evals.training_seeds import MIN_SEEDS
from train.report.cells import Json, Table, listed
from train.report.recipes.tables import answers_table, judges, made_table, title
from train.report.templates import template

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


class Entry(NamedTuple):
    """One thing to know: what it is about, and a sentence or two."""

    name: str
    text: str


class Section(NamedTuple):
    """One table's part of the page."""

    id: str
    name: str
    what: str
    notes: list[str]
    tables: list[Table]


def render(found: Json) -> str:
    """Return the page."""
    sections = [_section(table) for table in found["tables"]]
    return template(TEMPLATE, Path(__file__).parent).render(
        first_line=found["first_line"],
        sections=sections,
        missing=found["missing"],
        columns=[Entry(*one) for one in COLUMNS.items()],
        caveats=list(_caveats(found)),
    )


def _section(table: Json) -> Section:
    return Section(
        id=f"table-{table['table']}",
        name=title(table),
        what=table["what"],
        notes=table["notes"],
        tables=[made_table(table), answers_table(table)],
    )


def _caveats(found: Json) -> Iterator[Entry]:
    """Yield what limits the tables, the gravest first."""
    judged = {one["judge"]: one["proxy"] for table in found["tables"] for one in judges(table)}
    if any(judged.values()):
        yield Entry(
            "ASR is a proxy",
            "No guard has looked at the answers: one to a harmful prompt counts as unsafe unless "
            "a rule finds a full refusal. Harmless rambling counts as unsafe too.",
        )
    if judged:
        yield Entry(
            "One judge",
            f"Attack success is what {listed(list(judged))} says, over-refusal and discrimination "
            "are what the refusal rules say. Another judge may order the recipes otherwise.",
        )
    yield Entry(
        "One training seed",
        "A student stands here for its recipe. Another training seed may change a row more than "
        f"its intervals say: claims about methods take at least {MIN_SEEDS} seeds each.",
    )
    yield from _origins(found)
    yield Entry(
        "Many comparisons",
        "No interval is adjusted for the number of recipes and columns: of twenty, one misses "
        "its value by chance.",
    )
    yield Entry(
        "Re-implementations",
        "The recipes follow their papers on one engine, with one curation and one training loop. "
        "A row is no judgement of a paper's own code, data or models.",
    )


def _origins(found: Json) -> Iterator[Entry]:
    names = {
        one["name"] or "a model without a name": one["bytes"]
        for table in found["tables"]
        for one in table["students_of"]
    }
    if names:
        told = [f"{name} ({n / MEGABYTE:,.0f} MB of weights)" for name, n in names.items()]
        yield Entry(
            "The student's size",
            f"All students are trained from {listed(told)}. What helps a model of one size need "
            "not help one of another.",
        )
