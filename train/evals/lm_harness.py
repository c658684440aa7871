"""Public benchmarks through lm-evaluation-harness, for who has it installed; a leaf.

Reasoning is stripped before answers are scored: with their thoughts kept, reasoning models score
far below what they know (IFEval of a 1.7B model 0.44 instead of 0.71). The harness strips up to
the mark that ends a thought and no further: text of a thought that never ends is scored as it is.
Tasks that compare likelihoods of given choices generate nothing and are asked without a thought.
"""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from synth import storage
from synth.config.schema import ModelConfig
from synth.errors import BadInput
from synth.models.families import family_of
from synth.models.identity import identify
from synth.records import digest
from synth.workspace.stage import Manifest, dump, stage

PACKAGE = "lm_eval"
SCORES_FILE = "scores.json"
_SEEDS = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")

Json = dict[str, Any]


def benchmark(
    run: str, models: Mapping[str, ModelConfig], tasks: Sequence[str], *, seed: int = 0
) -> dict[str, Manifest]:
    """Score every model that is not scored yet, `<run>/evals/<model>/lm_eval/scores.json`.

    Args:
        run: The run's directory.
        models: Each model by name.
        tasks: As the harness calls them.
        seed: Of everything that it draws.

    Returns:
        Each model's manifest.

    Raises:
        BadInput: The harness is not installed, or a model is behind an endpoint.
    """
    return {name: _benchmark(run, name, model, tasks, seed) for name, model in models.items()}


def lm_eval_scores(model: ModelConfig, tasks: Sequence[str], *, seed: int = 0) -> Json:
    """Run tasks of the harness on a model and return what it scores, by task.

    Args:
        model: A folder, the embedded model, or a hub name.
        tasks: As the harness calls them. It downloads their data where it has none.
        seed: Of everything that it draws.

    Raises:
        BadInput: The harness is not installed, or the model is behind an endpoint.
    """
    check_installed(tasks)
    identity = identify(model)
    if not identity.path:
        rule = "needs models that can be loaded: a folder, or a hub name"
        raise _unusable(identity.name, rule)
    path = identity.path
    local = storage.local_copy(path) if storage.is_remote(path) else path
    arguments = {"pretrained": local, "think_end_token": family_of(local, model.family).think_close}
    if identity.revision is not None:
        arguments["revision"] = identity.revision
    # It imports torch and takes seconds to load.
    harness = importlib.import_module(PACKAGE)
    found = harness.simple_evaluate(
        model="hf",
        model_args=arguments,
        tasks=list(tasks),
        batch_size="auto",
        apply_chat_template=True,
        log_samples=False,
        **dict.fromkeys(_SEEDS, seed),
    )
    return {"lm_eval": harness.__version__, "tasks": read_scores(found)}


def check_installed(tasks: Sequence[str]) -> None:
    """Check that the harness is there, before anything is generated.

    Raises:
        BadInput: It is not.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise _unusable(", ".join(tasks), "needs a package: pip install 'guideweave[lm-eval]'")


def read_scores(found: Mapping[str, Any]) -> dict[str, Json]:
    """Return the harness's results by task: its version, examples, and metrics with errors.

    A metric's name there is `metric,filter`, and its standard error's `metric_stderr,filter`,
    a text where there is none.
    """
    return {
        task: {
            "version": found.get("versions", {}).get(task),
            "examples": found.get("n-samples", {}).get(task, {}).get("effective"),
            "metrics": _metrics(scores),
        }
        for task, scores in sorted(found["results"].items())
    }


def _benchmark(
    run: str, name: str, model: ModelConfig, tasks: Sequence[str], seed: int
) -> Manifest:
    folder = storage.join(run, "evals", name, PACKAGE)
    path = storage.join(folder, SCORES_FILE)
    inputs = {"model": identify(model).digest, "tasks": digest(sorted(tasks)), "seed": str(seed)}

    def make() -> Manifest:
        storage.publish(path, dump(lm_eval_scores(model, tasks, seed=seed)))
        return {"tasks": sorted(tasks)}

    return stage(f"lm_eval {name}", folder, inputs, make, lambda: storage.remove(path))


def _metrics(scores: Mapping[str, Any]) -> list[Json]:
    metrics = []
    for key, value in sorted(scores.items()):
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = scores.get(f"{metric}_stderr,{filtered}")
        stderr = error if isinstance(error, int | float) else None
        metrics.append({"metric": metric, "filter": filtered, "value": value, "stderr": stderr})
    return metrics


def _unusable(value: str, rule: str) -> BadInput:
    return BadInput(file="config", field="evaluate.lm_eval", value=value, rule=rule)
