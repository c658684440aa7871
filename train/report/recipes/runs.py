"""One table of the comparison: the recipes of one finished run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from synth.config.schema import SynthConfig
from synth.curate import curated_folder
from synth.curate.arms import make_arms
from synth.curate.policy import policy_name
from synth.recipes.base import Recipe
from synth.run import find_recipes
from synth.students import has_students, model_folder, model_ids
from train.evals.config import BASE, EvaluateConfig
from train.evals.evaluate import records_path
from train.evals.records import read_records
from train.evals.stats import Resampling
from train.report.read import RunFiles, read_run
from train.report.recipes.answers import CountTokens, answers, size, token_counter
from train.report.recipes.counts import (
    Curated,
    first_rows,
    generation,
    learning,
    origin,
    read_curated,
    read_tries,
)
from train.report.tables import Json, listed

UNSPENT = 0.9  # ours: a share of its tokens below which a recipe has not spent them


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRun:
    """The run behind a table.

    Attributes:
        files: Its manifests and its evaluation.
        config: Its configuration, where it stands now.
        recipes: Its recipes, by name.
        suite: The suite that is shown: the first that was evaluated.
    """

    files: RunFiles
    config: SynthConfig
    recipes: Mapping[str, Recipe]
    suite: str

    @property
    def evaluated(self) -> list[str]:
        """The recipes whose student is evaluated."""
        return [name for name in self.recipes if name in self.files.results]


def read_table_run(run: str) -> TableRun:
    """Read a finished run.

    Raises:
        BadInput: It is no run directory.
    """
    files = read_run(run)
    fields = {name: files.config[name] for name in SynthConfig.model_fields if name in files.config}
    config = SynthConfig.model_validate({**fields, "run": run})
    groups = (one for results in files.results.values() for one in results["groups"])
    return TableRun(
        files=files,
        config=config,
        recipes={recipe.name: recipe for recipe in find_recipes(config).values()},
        suite=next((one["suite"] for one in groups), ""),
    )


def table_json(name: str, run: TableRun) -> Json:
    """Return a table: every recipe in its order, and the untrained model where it is evaluated."""
    made = _made(run)
    rows = [_row(run, recipe, made[recipe.name]) for recipe in run.recipes.values()]
    if BASE in run.files.results:
        rows.insert(0, _base_row(run))
    found = {
        "table": name,
        "what": _what(run),
        "tokens": run.config.tokens,
        "suite": run.suite,
        "students_of": _origins(run),
        "not_evaluated": [one for one in run.recipes if one not in run.evaluated],
        "recipes": rows,
        **size(run.files, run.suite, run.evaluated),
    }
    return found | {"notes": list(_notes(run, found))}


def _made(run: TableRun) -> dict[str, Json]:
    """Return what every recipe generated."""
    folder = curated_folder(run.config)
    manifest = run.files.curated.get(policy_name(run.config.curate.policy))
    curated = Curated(accepted=set(), undetermined=set())
    if manifest is not None:
        curated = read_curated(folder, manifest)
    tries = read_tries(run.config.workspace)
    arms = make_arms(run.recipes, [tries])
    return {
        name: generation(
            recipe,
            tries.filter(pc.field("recipe") == pa.scalar(name)).to_pylist(),
            curated,
            supervised=arms[name].supervised,
            budget=run.config.tokens,
            models=model_ids(run.config, recipe) if has_students(recipe) else {},
            resampling=_resampling(run),
        )
        for name, recipe in run.recipes.items()
    }


def _row(run: TableRun, recipe: Recipe, made: Json) -> Json:
    curated = run.files.curated.get(policy_name(run.config.curate.policy), {})
    folder = model_folder(run.config.run, recipe.name)
    return {
        "recipe": recipe.name,
        "format": recipe.format,
        **made,
        **learning(recipe, run.files.models, curated),
        **_answers(run, recipe.name, folder),
    }


def _base_row(run: TableRun) -> Json:
    """Return the untrained model's row.

    Its tokenizer is that of the students whose recipe adds no tokens: they have it from there.
    """
    plain = [recipe.name for recipe in run.recipes.values() if not recipe.special_tokens]
    trained = [name for name in [*plain, *run.recipes] if name in run.files.models]
    folder = model_folder(run.config.run, next(iter(trained), BASE))
    return {"recipe": BASE, "format": None, **_answers(run, BASE, folder)}


def _answers(run: TableRun, model: str, folder: str) -> Json:
    """Return what a model answers; nothing where it is not evaluated."""
    if model not in run.files.results:
        return {"evaluated": False}
    records = read_records(
        records_path(run.files.run, model),
        (pc.field("suite") == run.suite) & (pc.field("decoding") == "sampled"),
    )
    # A tokenizer takes a while to load, and most models that do not reason need none.
    count: CountTokens | None = None
    if any(record.reasoning for record in records):
        count = token_counter(folder)
    found = answers(run.files.results[model], records, run.suite, count)
    return {"evaluated": True, **found}


def _resampling(run: TableRun) -> Resampling:
    section, usual = run.files.config.get("evaluate") or {}, EvaluateConfig()
    return Resampling(
        resamples=section.get("bootstrap_resamples", usual.bootstrap_resamples),
        seed=section.get("seed", usual.seed),
    )


def _origins(run: TableRun) -> list[Json]:
    """Return what the students were trained from, each once."""
    found = [origin(recipe, run.files.models) for recipe in run.recipes.values()]
    there = [one for one in found if one is not None]
    return [one for place, one in enumerate(there) if one not in there[:place]]


def _what(run: TableRun) -> str:
    match = _finetune(run).get("match")
    if run.config.tokens is not None:
        return (
            f"Every recipe generated until it had spent {run.config.tokens:,} tokens, in equal "
            "parts for its phases of sampling; what came later is left out. Its student is "
            "trained on what was accepted of that."
        )
    if match == "rows":
        return (
            "Every student's first training has as many rows as the recipe with the fewest "
            "accepted ones can give; the others' are drawn by a digest, of each label alike."
        )
    return "Every recipe generated as it is configured: neither tokens nor rows are made equal."


def _finetune(run: TableRun) -> Json:
    return run.files.config.get("finetune") or {}


def _notes(run: TableRun, found: Json) -> Iterator[str]:
    """Yield what a reader of the table must know of its rows."""
    rows = [row for row in found["recipes"] if row["recipe"] != BASE]
    if missing := found["not_evaluated"]:
        yield f"Not evaluated, shown as -: {listed(missing)}."
    if barren := [row["recipe"] for row in rows if not row["accepted"]]:
        yield f"Nothing accepted: {listed(barren)}."
    if uncounted := [row["recipe"] for row in rows if row["uncounted_tries"]]:
        yield f"Some tokens were not counted by the server: {listed(uncounted)}."
    yield from _unequal(run, rows)
    suites = {one["suite"]: None for res in run.files.results.values() for one in res["groups"]}
    if len(suites) > 1:
        yield f"Answers are those to the suite {run.suite}; the run's report has {len(suites)}."
    if seeds := _finetune(run).get("more_seeds"):
        yield (f"Of {len(seeds) + 1} training seeds the first is shown; the run's report has all.")


def _unequal(run: TableRun, rows: Sequence[Json]) -> Iterator[str]:
    """Yield where what the table makes equal is not."""
    tokens = run.config.tokens
    if tokens is not None:
        spent = {row["recipe"]: row["tokens_within_budget"] for row in rows}
        if short := [name for name, n in spent.items() if n < UNSPENT * tokens]:
            yield f"Spent less than {UNSPENT:.0%} of the tokens: {listed(short)}."
        return
    first = [first_rows(recipe, run.files.models) for recipe in run.recipes.values()]
    if len({n for n in first if n is not None}) > 1:
        yield "The numbers of training rows differ: some were too long to train on."
    if any(row["pairs"] for row in rows):
        yield "Pairs are not made equal: a training takes those there are, no more than rows."
