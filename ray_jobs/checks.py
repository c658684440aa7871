"""The checks of a whole run: what synthesis needs, and what its students need beyond."""

from collections.abc import Collection, Sequence

from ray_jobs.config import RunConfig
from synth.checks.static import check_model, check_resources, check_static
from synth.cluster.job import came_with_its_folder, check_seen_by_all
from synth.errors import BadInput
from synth.models.identity import SCRIPTED
from synth.recipes import RECIPES
from synth.run import find_recipes
from synth.storage import is_remote
from synth.students import student_name, trainings
from train.config import TrainKind
from train.evals.ask import searched_names
from train.evals.comparison import primary_comparison
from train.evals.config import BASE, EvaluateConfig
from train.evals.judge import judge_models, read_certificates
from train.evals.lm_harness import check_installed
from train.evals.rewrites import check_attacks
from train.evals.suites import read_suite


def check_run(config: RunConfig, *, accept_drift: str | None = None, here: bool = True) -> None:
    """Check a run without Ray, torch or network, before anything is written.

    Args:
        config: The run.
        accept_drift: Why rows of another fingerprint may join the run.
        here: It is to run on this machine, unless this is part of a Ray job.

    Raises:
        BadInput: Something can not work; the first thing found.
    """
    for table in config.tables.values():
        check_run(table, accept_drift=accept_drift, here=here)
    if config.tables:
        return
    if came_with_its_folder():
        check_seen_by_all(config.run)
    check_static(config, accept_drift=accept_drift, here=here)
    arms = _arms(config)
    if config.finetune is not None:
        _check_weights(config, "finetune")
        if here:
            num_gpus = config.finetune.resources.num_gpus * config.finetune.workers
            check_resources("finetune.resources.num_gpus", num_gpus)
    if config.evaluate is not None:
        _check_evaluation(config, config.evaluate, here=here)
        if arms is not None:
            _check_models(config, config.evaluate, arms)


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


def _students(config: RunConfig, arms: tuple[str, ...]) -> tuple[str, ...]:
    """Return the students of the arms, one a training seed."""
    finetune = config.finetune
    return tuple(name for arm in arms for name in finetune.students(arm)) if finetune else ()


def _trained(
    config: RunConfig, arms: tuple[str, ...], kinds: Collection[TrainKind]
) -> tuple[str, ...]:
    """Return the names of the models that trainings of these kinds make, of all arms."""
    return tuple(
        student_name(recipe, train.name)
        for recipe in find_recipes(config).values()
        for train in trainings(recipe)
        if recipe.name in arms and train.kind in kinds
    )


def _check_weights(config: RunConfig, stage: str) -> None:
    """Check that the base model is one that `stage` can load."""
    role = "target" if config.target else "teacher"
    model = config.target or config.teacher
    if model.endpoint is not None or SCRIPTED in (model.model, model.backend):
        name = model.model or (model.endpoint and model.endpoint.model)
        rule = f"{stage} needs weights: give target.model, a model folder or a hub name"
        raise BadInput(file="config", field=role, value=name, rule=rule)


def _check_evaluation(config: RunConfig, evaluate: EvaluateConfig, *, here: bool) -> None:
    """Check what the evaluation reads and loads; what stands on `s3://` is not asked for."""
    _check_suites(evaluate)
    near = [attack for attack in evaluate.attacks if _is_near(attack.taxonomy, attack.rewrites)]
    check_attacks(evaluate.model_copy(update={"attacks": near}), ())
    read_certificates(tuple(path for path in evaluate.certificates if _is_near(path)))
    judge_models(config, evaluate)
    own = {f"evaluate.judges.{judge.name}": judge.model for judge in evaluate.judges}
    for field, model in {**own, "evaluate.rewriter": evaluate.rewriter}.items():
        if model is not None:
            check_model(field, model)
    if evaluate.lm_eval and here:
        check_installed(evaluate.lm_eval)
    if BASE in (evaluate.models or (BASE,)):
        for name in ("representation", "lm_eval"):
            if getattr(evaluate, name):
                _check_weights(config, f"evaluate.{name}")


def _check_suites(evaluate: EvaluateConfig) -> None:
    for suite in evaluate.suites:
        if not isinstance(suite, str) and _is_near(suite.path, suite.benign):
            read_suite(suite)


def _is_near(*paths: str | None) -> bool:
    return not any(path is not None and is_remote(path) for path in paths)


def _check_models(config: RunConfig, evaluate: EvaluateConfig, arms: tuple[str, ...]) -> None:
    """Check the names of models that are evaluated, or choose in a search."""
    students, trained = _students(config, arms), config.finetune is not None
    on_the_way = _trained(config, arms, ("sft", "dpo")) if trained else ()
    known = tuple(dict.fromkeys((BASE, *students, *on_the_way)))
    for name in evaluate.models:
        _check_name("evaluate.models", name, known)
    names = evaluate.models or (BASE, *students)
    primary_comparison(evaluate, [*names, *searched_names(evaluate.search, names)])
    if evaluate.search is not None:
        rewards = _trained(config, arms, ("reward",)) if trained else ()
        _check_name("evaluate.search.reward", evaluate.search.reward, rewards)


def _check_name(field: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        listed = ", ".join(known) or "a reward model, which no recipe of this run trains"
        raise BadInput(file="config", field=field, value=name, rule=f"must be one of {listed}")
