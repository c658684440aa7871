"""What a recipe generated, what that cost, what was accepted, and what its models learnt from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from synth import storage
from synth.curate import Drop
from synth.curate.curation import DROPS_FILE
from synth.recipes.base import Recipe
from synth.records import TRACES, TraceRow
from synth.students import current_traces, student_name, trainings
from synth.token_budget import ACCOUNT_SCHEMA, over_budget
from synth.workspace.damage import open_parquet
from synth.workspace.leases import read_lease
from synth.workspace.workspace import Workspace
from train.evals.metrics import DIGITS, estimate_json
from train.evals.stats import NOTHING, Estimate, Resampling, Term, estimate, ratio
from train.report.tables import Json

COLUMNS = (
    *("row_id", "item_id", "try", "recipe", "step", "parents", "seed_id", "pair"),
    *("sample_index", "teacher", "output_tokens"),
)
SCHEMA = pa.schema([TRACES.field(name) for name in COLUMNS])

WEIGHTS = ".safetensors"


def ratio_of_sums(
    spent: Iterable[tuple[str, int]], gained: Iterable[tuple[str, int]], resampling: Resampling
) -> Estimate:
    """Return the sum of `spent` over the sum of `gained`, with a bootstrap interval.

    There is no value where nothing is gained. There is no interval where every cluster has the
    same ratio, or is the only one: resamples then do not differ, and an amount has no bound that
    could stand for what was not seen.

    Args:
        spent: Amounts by cluster; several of one cluster are added up.
        gained: The same of what they are divided by, in clusters that have spent.
        resampling: How often to draw, and from which seed.
    """
    costs, gains = _sums(spent), _sums(gained)
    cost, gain = costs.total(), gains.total()
    if not gain:
        return NOTHING
    if all(costs[cluster] * gain == gains[cluster] * cost for cluster in costs):
        return Estimate(value=cost / gain, low=None, high=None, method="none")
    numerator = Term(values=[(cluster, float(sum_)) for cluster, sum_ in costs.items()])
    denominator = Term(values=[(cluster, float(gains[cluster])) for cluster in costs])
    return ratio(numerator, denominator, resampling)


def share_of(decided: Iterable[tuple[str, bool]], resampling: Resampling) -> Estimate:
    """Return the share of what was decided that is true.

    The interval is Wilson's where no two are of one cluster, else a bootstrap over clusters. Where
    all were decided alike it is Wilson's over clusters, not over all: those of one are no further
    evidence.

    Args:
        decided: Cluster and decision of each.
        resampling: How often to draw, and from which seed.
    """
    term = Term(values=[(cluster, float(one)) for cluster, one in decided])
    if not term.varies:
        term = Term(values=sorted(set(term.values)))
    return estimate([term], resampling)


def _sums(amounts: Iterable[tuple[str, int]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for cluster, amount in amounts:
        sums[cluster] += amount
    return sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """What a curation made of the traces.

    Attributes:
        accepted: `row_id`s of the supervised rows.
        undetermined: Of those dropped because the refusal judge has no verdict.
    """

    accepted: AbstractSet[str]
    undetermined: AbstractSet[str]


def read_tries(folder: str) -> pa.Table:
    """Return every try of every item: what had to be tried again has cost its tokens, too."""
    read = partial(read_lease, folder, columns=COLUMNS)
    tables = storage.in_parallel(folder, read, Workspace(folder).finished())
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


def read_curated(folder: str, manifest: Json) -> Curated:
    """Return which traces a curation accepted, and on which it could not decide."""
    shards = (shard["path"] for shard in manifest["shards"] if shard["path"].startswith("sft/"))
    accepted = {
        row_id
        for path in shards
        for row_id in _read(storage.join(folder, path), ["row_id"])["row_id"].to_pylist()
    }
    drops = _read(storage.join(folder, DROPS_FILE), ["row_id", "reason"])
    reasons = zip(drops["row_id"].to_pylist(), drops["reason"].to_pylist(), strict=True)
    undetermined = {row_id for row_id, why in reasons if why == Drop.UNDETERMINED_REFUSAL}
    return Curated(accepted=accepted, undetermined=undetermined)


def generation(
    recipe: Recipe,
    tries: Sequence[TraceRow],
    curated: Curated,
    *,
    supervised: int | None,
    budget: int | None,
    models: dict[str, str],
    resampling: Resampling,
) -> Json:
    """Return what is counted of one recipe's traces.

    Traces of a model that has been trained anew since, or that belongs to another run on the
    same traces, are not this run's and count nowhere. What came after a budget was spent counts
    in `generated_tokens` and `over_budget` alone.

    Args:
        recipe: The recipe.
        tries: All its tries, columns `COLUMNS`.
        curated: What became of them.
        supervised: The step whose traces become rows; None where none do.
        budget: Tokens that the recipe may spend; None for all.
        models: What records call the model of each finished training.
        resampling: Behind the intervals.
    """
    last = pa.Table.from_pylist(_of_highest_try(tries), SCHEMA)
    current = current_traces(recipe, last, models).to_pylist()
    made_of = pa.Table.from_pylist(current, ACCOUNT_SCHEMA)
    over = set() if budget is None else over_budget(budget, recipe, made_of)
    counted = [row for row in current if row["row_id"] not in over]
    made, spent = _tries_of(tries, current), _tries_of(tries, counted)
    candidates = [row for row in counted if row["step"] == supervised]
    accepted = [row for row in candidates if row["row_id"] in curated.accepted]
    uncounted = sum(row["output_tokens"] is None for row in made)
    cost = ratio_of_sums(
        [(_cluster(row), row["output_tokens"] or 0) for row in spent],
        [(_cluster(row), 1) for row in ([] if uncounted else accepted)],
        resampling,
    )
    return {
        "generated_tokens": _tokens(made),
        "tokens_within_budget": None if budget is None else _tokens(spent),
        "uncounted_tries": uncounted,
        "items": len({row["item_id"] for row in counted}),
        "traces": len(counted),
        "over_budget": len(over),
        "accepted": len(accepted),
        "acceptance": _acceptance(candidates, curated, resampling),
        "tokens_per_accepted_row": estimate_json(cost),
    }


def _acceptance(rows: Sequence[TraceRow], curated: Curated, resampling: Resampling) -> Json:
    """Return the share of the traces that could become rows and did, in the form of a rate."""
    decided = [(_cluster(row), row["row_id"] in curated.accepted) for row in rows]
    undetermined = sum(row["row_id"] in curated.undetermined for row in rows)
    found = estimate_json(share_of(decided, resampling))
    low = sum(accepted for _, accepted in decided)
    ends = [round(n / len(rows), DIGITS) for n in (low, low + undetermined)] if rows else None
    return found | {
        "prompts": len({row["seed_id"] for row in rows}),
        "answers": len(rows),
        "undetermined": undetermined,
        "bounds": ends,
    }


def _of_highest_try(tries: Iterable[TraceRow]) -> list[TraceRow]:
    tries = list(tries)
    highest: dict[str, int] = {}
    for row in tries:
        highest[row["item_id"]] = max(row["try"], highest.get(row["item_id"], 0))
    return [row for row in tries if row["try"] == highest[row["item_id"]]]


def _tries_of(tries: Iterable[TraceRow], rows: Iterable[TraceRow]) -> list[TraceRow]:
    """Return the tries of `rows`, which have the `row_id` of what came of them."""
    wanted = {row["row_id"] for row in rows}
    return [row for row in tries if row["row_id"] in wanted]


def _tokens(rows: Iterable[TraceRow]) -> int:
    return sum(row["output_tokens"] or 0 for row in rows)


def _cluster(row: TraceRow) -> str:
    """Return what is drawn together: a seed with its twin."""
    return row["pair"] or row["seed_id"]


def _read(path: str, columns: Sequence[str]) -> pa.Table:
    with open_parquet(path) as file:
        return file.read(list(columns)).replace_schema_metadata(None)


def learning(recipe: Recipe, models: Mapping[str, Json], curated: Json) -> Json:
    """Return the recipe's finished trainings, the pairs made for them, and their rows.

    Args:
        recipe: The recipe.
        models: The run's models, by name.
        curated: The manifest of the curation.
    """
    found = {
        train.name: models[name]["rows"]
        for train in trainings(recipe)
        if (name := student_name(recipe, train.name)) in models
    }
    pairs = curated.get("pairs", {}).get(recipe.name, {})
    return {
        "models": list(found),
        "pairs": {training: sum(kinds.values()) for training, kinds in pairs.items()},
        "trained_rows": {"total": sum(found.values()) if found else None, "by_training": found},
    }


def first_rows(recipe: Recipe, models: Mapping[str, Json]) -> int | None:
    """Return the rows of the recipe's first training; None where it is no finished SFT."""
    first = trainings(recipe)[0]
    name = student_name(recipe, first.name)
    return models[name]["rows"] if first.kind == "sft" and name in models else None


def origin(recipe: Recipe, models: Mapping[str, Json]) -> Json | None:
    """Return the model that the recipe's first training started from, and its bytes of weights.

    The bytes are those of the model that came of it; None where there is none yet.
    """
    first = student_name(recipe, trainings(recipe)[0].name)
    if first not in models:
        return None
    files = models[first].get("files", [])
    return {
        "name": models[first].get("base", {}).get("name"),
        "bytes": sum(one["bytes"] for one in files if one["path"].endswith(WEIGHTS)),
    }
