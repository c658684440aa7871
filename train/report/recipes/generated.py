"""What a recipe generated, what that cost, and what of it was accepted."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from synth import storage
from synth.curate import Drop
from synth.curate.curation import DROPS_FILE
from synth.recipes.base import Recipe, Row
from synth.records import TRACES
from synth.students import current_rows
from synth.token_budget import over_budget
from synth.workspace import ledger
from train.evals.intervals import Resampling
from train.evals.rates import DIGITS, estimate_json
from train.report.cells import Json
from train.report.recipes.amounts import ratio_of_sums, share

COLUMNS = (
    *("row_id", "item_id", "try", "recipe", "step", "parents", "seed_id", "pair"),
    *("sample_index", "teacher", "output_tokens"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """What a curation made of the traces.

    Attributes:
        accepted: `row_id`s of the supervised rows.
        undetermined: Of those dropped because the refusal judge has no verdict.
    """

    accepted: AbstractSet[str]
    undetermined: AbstractSet[str]


def read_tries(workspace: str) -> pa.Table:
    """Return every try of every item: what had to be tried again has cost its tokens, too."""
    read = partial(_read_lease, workspace)
    tables = storage.in_parallel(workspace, read, ledger.finished(workspace))
    schema = pa.schema([TRACES.field(name) for name in COLUMNS])
    return pa.concat_tables([schema.empty_table(), *tables])


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
    tries: Sequence[Row],
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
    current = current_rows(recipe, _of_highest_try(tries), models)
    over = set() if budget is None else over_budget(budget, recipe, current)
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


def _acceptance(rows: Sequence[Row], curated: Curated, resampling: Resampling) -> Json:
    """Return the share of the traces that could become rows and did, in the form of a rate."""
    decided = [(_cluster(row), row["row_id"] in curated.accepted) for row in rows]
    undetermined = sum(row["row_id"] in curated.undetermined for row in rows)
    found = estimate_json(share(decided, resampling))
    low = sum(accepted for _, accepted in decided)
    ends = [round(n / len(rows), DIGITS) for n in (low, low + undetermined)] if rows else None
    return found | {
        "prompts": len({row["seed_id"] for row in rows}),
        "answers": len(rows),
        "undetermined": undetermined,
        "bounds": ends,
    }


def _of_highest_try(tries: Iterable[Row]) -> list[Row]:
    tries = list(tries)
    highest: dict[str, int] = {}
    for row in tries:
        highest[row["item_id"]] = max(row["try"], highest.get(row["item_id"], 0))
    return [row for row in tries if row["try"] == highest[row["item_id"]]]


def _tries_of(tries: Iterable[Row], rows: Iterable[Row]) -> list[Row]:
    """Return the tries of `rows`, which have the `row_id` of what came of them."""
    wanted = {row["row_id"] for row in rows}
    return [row for row in tries if row["row_id"] in wanted]


def _tokens(rows: Iterable[Row]) -> int:
    return sum(row["output_tokens"] or 0 for row in rows)


def _cluster(row: Row) -> str:
    """Return what is drawn together: a seed with its twin."""
    return row["pair"] or row["seed_id"]


def _read_lease(workspace: str, name: str) -> pa.Table:
    return _read(ledger.lease_path(workspace, name), COLUMNS)


def _read(path: str, columns: Sequence[str]) -> pa.Table:
    with storage.open_input(path) as source:
        return pq.ParquetFile(source).read(list(columns)).replace_schema_metadata(None)
