"""The evaluation stage: items to every model, records, results, comparison.

Each model is a stage of its own, `<run>/evals/<model>/`, so that adding an arm evaluates
that arm alone; the comparison of all is a last one, `<run>/evals/comparison.json`. Results
are a pure function of the records: scoring finished generations again gives the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from synth import storage
from synth.config import ModelConfig, SynthConfig
from synth.digest import digest
from synth.errors import BadInput
from synth.judges.refusal import VERSION as JUDGE_VERSION
from synth.models import identify
from synth.recipes import find_recipe
from synth.records import Item
from synth.stage import MANIFEST, Manifest, dump, manifest_digest, stage
from train.evals.comparison import compare, primary_comparison
from train.evals.config import BASE, EvaluateConfig
from train.evals.records import Record, read_records, write_records
from train.evals.score import score
from train.evals.suites import check_lineage, eval_items, load_suites, training_seed_ids
from train.evals.summary import results

Generate = Callable[[str, ModelConfig, list[Item]], pa.Table]

RECORDS_FILE, RESULTS_FILE = "records.parquet", "results.json"
COMPARISON_FILE = "comparison.json"
SCORING_VERSION = 1  # raised by hand when a record or a result would change
_NOT_A_MODELS_OWN = {"models", "primary"}


def evaluate(
    config: SynthConfig,
    evaluate: EvaluateConfig,
    *,
    generate: Generate,
    arms: Sequence[str] | None = None,
) -> dict[str, Manifest]:
    """Evaluate every model that is not evaluated yet, then compare them.

    Args:
        config: The run.
        evaluate: The section of the evaluation.
        generate: Runs the items of one model (its name, where it is, what is asked) through
            the scheduler and returns their `TRACES` rows, the highest try of each.
        arms: The trained students; the run's recipes where None.

    Returns:
        Each model's manifest.

    Raises:
        BadInput: An arm is not trained, or something evaluated was trained on.
    """
    storage.use(config.storage)
    if arms is None:
        arms = [find_recipe(path).name for path in config.recipe]
    names = list(evaluate.models) or [BASE, *arms]
    primary_comparison(evaluate, names)  # what can not be compared is said before generating
    models = {name: model_config(config, name) for name in names}
    items = plan_items(config, evaluate)
    manifests = {
        name: _evaluate_model(config, evaluate, items, name, model, generate)
        for name, model in models.items()
    }
    _compare_models(config, evaluate, names)
    return manifests


def plan_items(config: SynthConfig, evaluate: EvaluateConfig) -> list[Item]:
    """Return what every model is asked, checked against the training prompts.

    Raises:
        BadInput: Something evaluated was trained on, or there is nothing to ask.
    """
    suites = load_suites(config, evaluate)
    items = eval_items(suites, evaluate)
    check_lineage(suites, items, training_seed_ids(config))
    if not items:
        rule = "leaves no prompt: raise evaluate.limit, or seeds.eval_share"
        raise BadInput(file="config", field="evaluate", value=len(items), rule=rule)
    return items


def model_config(config: SynthConfig, name: str) -> ModelConfig:
    """Return where the model called `name` is: the target itself, or an arm's folder.

    Raises:
        BadInput: The arm is not trained.
    """
    base = config.target or config.teacher
    if name == BASE:
        return base
    folder = storage.join(config.run, "models", name)
    if not storage.exists(storage.join(folder, MANIFEST)):
        rule = f"must be {BASE}, or an arm that finetune has finished"
        raise BadInput(file=folder, field="evaluate.models", value=name, rule=rule)
    return base.model_copy(update={"model": folder, "revision": None, "endpoint": None})


def model_folder(run: str, name: str) -> str:
    """Return the folder of one model's results."""
    return storage.join(run, "evals", name)


def _evaluate_model(
    config: SynthConfig,
    evaluate: EvaluateConfig,
    items: list[Item],
    name: str,
    model: ModelConfig,
    generate: Generate,
) -> Manifest:
    folder = model_folder(config.run, name)
    identity = identify(model)
    inputs = {
        "evaluate": digest(evaluate.model_dump(mode="json", exclude=_NOT_A_MODELS_OWN)),
        "prompts": digest([item.item_id for item in items]),
        "model": identity.digest,
        "rules": digest(SCORING_VERSION, JUDGE_VERSION),
    }

    def make() -> Manifest:
        records = score(items, generate(name, model, items))
        write_records(storage.join(folder, RECORDS_FILE), records)
        found = dump(results(name, records, evaluate))
        storage.publish(storage.join(folder, RESULTS_FILE), found)
        return {"model": identity.model_id, "items": len(items), "outcomes": _outcomes(records)}

    def clean() -> None:
        for file in (RECORDS_FILE, RESULTS_FILE):
            storage.remove(storage.join(folder, file))

    return stage(f"evaluate {name}", folder, inputs, make, clean)


def _compare_models(config: SynthConfig, evaluate: EvaluateConfig, names: list[str]) -> None:
    folder = storage.join(config.run, "evals")
    path = storage.join(folder, COMPARISON_FILE)
    inputs = {f"evaluate {n}": manifest_digest(model_folder(config.run, n)) for n in names}
    primary = primary_comparison(evaluate, names)
    inputs["primary"] = digest(None if primary is None else primary.model_dump(mode="json"))

    def make() -> Manifest:
        storage.publish(path, dump(compare(_read_all(config.run, names), evaluate)))
        return {"models": names}

    stage("compare", folder, inputs, make, lambda: storage.remove(path))


def _read_all(run: str, names: Sequence[str]) -> dict[str, list[Record]]:
    return {
        name: read_records(storage.join(model_folder(run, name), RECORDS_FILE)) for name in names
    }


def _outcomes(records: Sequence[Record]) -> dict[str, Any]:
    return dict(sorted(Counter(record.outcome for record in records).items()))
