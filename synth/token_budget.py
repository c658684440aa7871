"""Equal generated tokens: what each recipe may spend, and which of its traces came within that.

Recipes differ in how many tokens a training row costs, so that a comparison at an equal number of
rows favours the wasteful. Under a budget every recipe samples until it has spent as many tokens,
whatever its yield, and what came later is left out. A recipe that samples in several phases, with
trainings between them, has an equal part of the budget for each.
"""

import math
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synth.errors import BadInput
from synth.recipes.base import Recipe, Step
from synth.records import TRACES, digest
from synth.students import parent_places

# What a recipe's account is made up from.
ACCOUNT = (
    *("row_id", "item_id", "step", "sample_index"),
    *("parents", "teacher", "output_tokens"),
)
ACCOUNT_SCHEMA = pa.schema([TRACES.field(name) for name in ACCOUNT])


def phases(recipe: Recipe) -> list[list[int]]:
    """Return the steps of a recipe, by index, in groups between its trainings."""
    groups: list[list[int]] = [[]]
    for index, step in enumerate(recipe.steps):
        if isinstance(step, Step):
            groups[-1].append(index)
        else:
            groups.append([])
    return [group for group in groups if group]


def samples_for(budget: int, recipe: Recipe, traces: pa.Table, samples: int) -> int:
    """Return how many samples a seed takes to spend the first phase's part of `budget`.

    Args:
        budget: Tokens of the whole recipe.
        recipe: The recipe, whose first items are the seeds.
        traces: What it has made so far, columns `ACCOUNT`.
        samples: Made of each seed, where there is nothing to go by.

    Raises:
        BadInput: Nobody has counted the tokens.
    """
    first, *_ = parts = phases(recipe)
    traces = traces.filter(pc.field("step").isin(first))
    if len(traces) and traces["output_tokens"].null_count == len(traces):
        rule = f"needs token counts, and no server gave any for recipe {recipe.name}"
        raise BadInput(file="config", field="tokens", value=budget, rule=rule)
    families = _families(traces)
    asked = traces.take(families.roots)
    of_seeds = asked["step"].to_numpy() == first[0]
    made, of = np.unique(asked["sample_index"].to_numpy()[of_seeds], return_inverse=True)
    spent = np.bincount(of, families.tokens[of_seeds])  # by sample
    if not len(made) or not spent[-1]:
        return max(samples, len(made))  # where the last samples took nothing, no more are made
    return max(samples, math.ceil(len(made) * budget / len(parts) / int(spent.sum())))


def over_budget(budget: int, recipe: Recipe, traces: pa.Table) -> set[str]:
    """Return the `row_id`s of what the recipe made after its tokens were spent.

    Traces count in the order in which more samples would be asked for: all first samples, then all
    second ones, and within these by a digest. A trace made from another counts with it, so that
    what is kept is kept with all it took.

    Args:
        budget: Tokens of the whole recipe.
        recipe: The recipe.
        traces: All its current ones, whatever their outcome, columns `ACCOUNT`.
    """
    parts = phases(recipe)
    over: set[str] = set()
    for steps in parts:
        of_part = traces.filter(pc.field("step").isin(steps))
        families = _families(of_part)
        is_over = np.cumsum(families.tokens) > budget / len(parts)
        over.update(of_part["row_id"].filter(pa.array(is_over[families.of])).to_pylist())
    return over


class _Families(NamedTuple):
    """Traces with all that was made from them, in the order in which they count.

    Attributes:
        of: The family of every trace.
        roots: The first trace of every family, a row of the table.
        tokens: What every family took.
    """

    of: NDArray[np.int64]
    roots: NDArray[np.int64]
    tokens: NDArray[np.float64]


def _families(traces: pa.Table) -> _Families:
    """Find the families. A trace of several parents belongs to the one of the latest step."""
    order = _order(traces)
    rank = np.empty(len(traces), np.int64)
    rank[order] = np.arange(len(traces))
    steps = traces["step"].to_numpy()
    child, parent = parent_places(traces)
    child, parent = child[parent >= 0], parent[parent >= 0]
    root = rank.copy()  # of every trace, by its rank
    for step in np.unique(steps[child]):
        mine, theirs = child[steps[child] == step], parent[steps[child] == step]
        of_theirs = root[theirs]
        root[mine] = -1
        np.maximum.at(root, mine, of_theirs)
    ranks, of = np.unique(root, return_inverse=True)
    tokens = traces["output_tokens"].fill_null(0).to_numpy()
    return _Families(of, order[ranks], np.bincount(of, tokens, len(ranks)).astype(np.float64))


def _order(traces: pa.Table) -> NDArray[np.int64]:
    """Return the rows in the order in which they count."""
    chunks = (chunk.to_pylist() for chunk in traces["item_id"].chunks)
    digests = (pa.array([digest("budget", i) for i in ids], pa.string()) for ids in chunks)
    columns = {name: traces[name] for name in ("step", "sample_index", "row_id")}
    table = pa.table({**columns, "digest": pa.chunked_array(list(digests), pa.string())})
    keys = [(name, "ascending") for name in ("step", "sample_index", "digest", "row_id")]
    places = table.append_column("place", pa.array(np.arange(len(table))))
    return places.sort_by(keys)["place"].to_numpy()
