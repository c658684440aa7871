"""The tables of a comparison: what each recipe made and cost, and what its student answers."""

from collections.abc import Iterable, Sequence

from train.evals.attacks import PLAIN
from train.report.cells import NONE, Cell, Json, Row, Table, known, number, percent, points
from train.report.groups import asr_name

TITLES = {"tokens": "At equal generated tokens", "rows": "At equal training rows"}


def title(table: Json) -> str:
    """Return what a table is called."""
    return TITLES.get(table["table"], table["table"])


def made_table(table: Json) -> Table:
    """Return what each recipe made, and what that cost."""
    rows = [
        Row(header=row["recipe"], cells=_made_cells(row))
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
        Row(header=row["recipe"], cells=_answer_cells(row, families)) for row in table["recipes"]
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


def _made_cells(row: Json) -> list[Cell]:
    return [
        Cell(text=row["format"]),
        Cell(text=f"{row['generated_tokens']:,}", interval=_within(row)),
        number(row["traces"]),
        number(row["accepted"]),
        percent(row["acceptance"]),
        amount(row["tokens_per_accepted_row"], 0),
        _by_training(row["pairs"]),
        _by_training(row["trained_rows"]["by_training"]),
    ]


def _answer_cells(row: Json, families: Sequence[str]) -> list[Cell]:
    if not row["evaluated"]:
        return [Cell(text=NONE)] * (len(families) + 6)
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


def amount(found: Json | None, digits: int) -> Cell:
    """Return an estimate of an amount, thousands apart."""
    if found is None or not known(found):
        return Cell(text=NONE)
    interval = ""
    if found["low"] is not None:
        interval = f"[{found['low']:,.{digits}f}, {found['high']:,.{digits}f}]"
    return Cell(text=f"{found['value']:,.{digits}f}", interval=interval)


def _within(row: Json) -> str:
    within = row["tokens_within_budget"]
    return "" if within is None else f"{within:,} within the budget"


def _by_training(counts: Json) -> Cell:
    """Return a sum, and under it what each training has of it, where they are several."""
    if not counts:
        return Cell(text=NONE)
    several = sorted(counts.items()) if len(counts) > 1 else []
    parts = ", ".join(f"{name} {n:,}" for name, n in several)
    return Cell(text=f"{sum(counts.values()):,}", interval=parts)


def _undetermined(rates: Iterable[Json | None]) -> Cell:
    """Return how many answers to harmful, benign and utility prompts have no verdict."""
    there = [rate for rate in rates if rate]
    missing, answers = (sum(rate[key] for rate in there) for key in ("undetermined", "answers"))
    return Cell(text=f"{missing:,} / {answers:,}")


def _families(table: Json) -> list[str]:
    """Return the families of attacks; none at all comes first."""
    found = {
        family for row in table["recipes"] if row["evaluated"] for family in row["asr"]["families"]
    }
    return sorted(found, key=lambda family: (family != PLAIN, family))


def _asr_caption(table: Json) -> str:
    named = [asr_name(one["judge"]) for one in judges(table)]
    return f"{', '.join(named)}. " if named else ""
