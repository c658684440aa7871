"""Equal generated tokens: what each recipe may spend, and which of its traces came within that.

Recipes differ in how many tokens a training row costs, so that a comparison at an equal number of
rows favours the wasteful. Under a budget every recipe samples until it has spent as many tokens,
whatever its yield, and what came later is left out. A recipe that samples in several phases, with
trainings between them, has an equal part of the budget for each.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from synth.errors import BadInput
from synth.recipes.base import Recipe, Row, Step
from synth.records import digest

# What a recipe's account is made up from.
ACCOUNT = (
    *("row_id", "item_id", "step", "sample_index"),
    *("parents", "teacher", "output_tokens"),
)


def phases(recipe: Recipe) -> list[list[int]]:
    """Return the steps of a recipe, by index, in groups between its trainings."""
    groups: list[list[int]] = [[]]
    for index, step in enumerate(recipe.steps):
        if isinstance(step, Step):
            groups[-1].append(index)
        else:
            groups.append([])
    return [group for group in groups if group]


def samples_for(budget: int, recipe: Recipe, rows: Iterable[Row], samples: int) -> int:
    """Return how many samples a seed takes to spend the first phase's part of `budget`.

    Args:
        budget: Tokens of the whole recipe.
        recipe: The recipe, whose first items are the seeds.
        rows: What it has made so far, columns `ACCOUNT`.
        samples: Made of each seed, where there is nothing to go by.

    Raises:
        BadInput: Nobody has counted the tokens.
    """
    first, *_ = parts = phases(recipe)
    families = _families([row for row in rows if row["step"] in first])
    if families and all(row["output_tokens"] is None for family in families for row in family):
        rule = f"needs token counts, and no server gave any for recipe {recipe.name}"
        raise BadInput(file="config", field="tokens", value=budget, rule=rule)
    spent: Counter[int] = Counter()  # by sample
    for family in families:
        if family[0]["step"] == first[0]:
            spent[family[0]["sample_index"]] += _tokens(family)
    if not spent or not spent[max(spent)]:
        return max(samples, len(spent))  # where the last samples took nothing, no more are made
    return max(samples, math.ceil(len(spent) * budget / len(parts) / spent.total()))


def over_budget(budget: int, recipe: Recipe, rows: Sequence[Row]) -> set[str]:
    """Return the `row_id`s of what the recipe made after its tokens were spent.

    Rows count in the order in which more samples would be asked for: all first samples, then all
    second ones, and within these by a digest. A row made from another counts with it, so that
    what is kept is kept with all it took.

    Args:
        budget: Tokens of the whole recipe.
        recipe: The recipe.
        rows: All its current rows, whatever their outcome: `row_id`, `item_id`, `step`,
            `sample_index`, `parents` and `output_tokens`.
    """
    parts = phases(recipe)
    over: set[str] = set()
    for steps in parts:
        left = budget / len(parts)
        for family in _families([row for row in rows if row["step"] in steps]):
            left -= _tokens(family)
            if left < 0:
                over.update(row["row_id"] for row in family)
    return over


def _tokens(family: Iterable[Row]) -> int:
    return sum(row["output_tokens"] or 0 for row in family)


def _families(rows: Iterable[Row]) -> list[list[Row]]:
    """Return rows with all that was made from them, in the order in which they count.

    A row of several parents belongs to the one of the latest step.
    """
    families: dict[str, list[Row]] = {}
    first: dict[str, Row] = {}  # of every row's family, by `row_id`
    for row in sorted(rows, key=lambda row: (row["step"], row["row_id"])):
        parents = [first[parent] for parent in row["parents"] if parent in first]
        first[row["row_id"]] = root = max(parents, key=_order, default=row)
        families.setdefault(root["row_id"], []).append(row)
    roots = sorted((first[row_id] for row_id in families), key=_order)
    return [families[root["row_id"]] for root in roots]


def _order(row: Row) -> tuple[int, int, str, str]:
    return row["step"], row["sample_index"], digest("budget", row["item_id"]), row["row_id"]
