"""The checks of a whole run: what synthesis needs, and what its students need beyond."""

from ray_jobs.config import RunConfig
from synth.check import check_resources, check_static
from synth.config import SeedsConfig
from synth.errors import BadInput
from synth.recipes import RECIPES
from synth.run import came_with_its_folder, check_seen_by_all
from synth.seeds import check_seeds
from train.evals.comparison import primary_comparison
from train.evals.config import BASE, EvaluateConfig


def check_run(config: RunConfig, *, accept_drift: str | None = None, here: bool = True) -> None:
    """Check a run without Ray, torch or network, before anything is written.

    Args:
        config: The run.
        accept_drift: Why rows of another fingerprint may join the run.
        here: It is to run on this machine, unless this is part of a Ray job.

    Raises:
        BadInput: Something can not work; the first thing found.
    """
    if came_with_its_folder():
        check_seen_by_all(config.run)
    check_static(config, accept_drift=accept_drift, here=here)
    arms = _arms(config)
    if config.finetune is not None:
        _check_target(config)
        if here:
            num_gpus = config.finetune.resources.num_gpus * config.finetune.workers
            check_resources("finetune.resources.num_gpus", num_gpus)
    if config.evaluate is not None:
        _check_suites(config.evaluate)
        if arms is not None:
            _check_models(config.evaluate, arms)


def _arms(config: RunConfig) -> tuple[str, ...] | None:
    """Return the arms; None where a recipe of the user's own has still to say its name."""
    if any(path not in RECIPES for path in config.recipe):
        return None
    if config.finetune is None:
        return ()
    arms = config.finetune.arms or config.recipe
    for arm in arms:
        if arm not in config.recipe:
            rule = f"must be one of the run's recipes: {', '.join(config.recipe)}"
            raise BadInput(file="config", field="finetune.arms", value=arm, rule=rule)
    return arms


def _check_target(config: RunConfig) -> None:
    role = "target" if config.target else "teacher"
    model = config.target or config.teacher
    if model.endpoint is not None or model.model == "scripted":
        name = model.model or (model.endpoint and model.endpoint.model)
        rule = "finetune needs weights: give target.model, a model folder or a hub name"
        raise BadInput(file="config", field=role, value=name, rule=rule)


def _check_suites(evaluate: EvaluateConfig) -> None:
    for suite in evaluate.suites:
        if not isinstance(suite, str):
            check_seeds(SeedsConfig(path=suite.path, columns=suite.columns, label=suite.label))


def _check_models(evaluate: EvaluateConfig, arms: tuple[str, ...]) -> None:
    known = (BASE, *arms)
    for name in evaluate.models:
        if name not in known:
            rule = f"must be one of {', '.join(known)}"
            raise BadInput(file="config", field="evaluate.models", value=name, rule=rule)
    primary_comparison(evaluate, evaluate.models or known)
