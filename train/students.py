"""The stage around training: every model that a run's recipes train, each in a folder of its own.

An arm is trained as its recipe says, one training after the other. Where steps follow a training,
they have to run before the next one can.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from synth import storage
from synth.config.schema import ModelConfig, SynthConfig
from synth.curate import curated_folder
from synth.errors import BadInput
from synth.models.identity import identify
from synth.recipes import Recipe, Train
from synth.run import find_recipes
from synth.students import has_later_steps, own_training, start_of, student_name, trainings
from synth.workspace.stage import MANIFEST, Manifest, changed_inputs, stage
from train.config import FinetuneConfig
from train.shards import read_split
from train.training import TRAINING, Plan, Training, clean, has_pairs, make

log = logging.getLogger(__name__)


class Finetuned(NamedTuple):
    """What fine-tuning has come to.

    Attributes:
        manifests: Of every finished model of the run, by its name.
        waiting: Arms that have a new model whose steps can run now.
    """

    manifests: dict[str, Manifest]
    waiting: tuple[str, ...]


def finetune(
    config: SynthConfig,
    finetune: FinetuneConfig,
    model_path: str | None = None,
    due: Mapping[str, int] | None = None,
) -> Finetuned:
    """Train every model that is owed and whose data are there.

    A model that is complete is left alone. A training that was killed, with its workers or with
    this process, goes on from its last checkpoint.

    Args:
        config: The run's configuration; its data must be curated.
        finetune: How to train.
        model_path: Folder of the model to start from; where not given, that of the target,
            or else of the teacher.
        due: Of arms whose steps have not all run, the first that is due: trainings after it
            wait.

    Returns:
        Each model's manifest; the models are in `<run>/models/<name>`. The last student of an
        arm is called like the arm, those before it `<arm>-<training>`, those of further seeds
        `<arm>-seed<seed>`: these differ in the last training, for the recipe's steps have sampled
        from one model of each training before.

    Raises:
        BadInput: The arms share no seed, there is no pair, or rows or model can not be trained
            on.
        RunFault: The workers failed more often than `max_failures`.
        FileNotFoundError: Curation has not finished.
    """
    plan = _plan(config, finetune, model_path)
    manifests: dict[str, Manifest] = {}
    waiting = [
        arm
        for arm, recipe in plan.recipes.items()
        if not _train_arm(plan, arm, recipe, (due or {}).get(arm), manifests)
    ]
    return Finetuned(manifests, tuple(waiting))


def named_arms(config: SynthConfig, finetune: FinetuneConfig) -> tuple[str, ...]:
    """Return the arms that the configuration names, or else those of all its recipes."""
    return finetune.arms or tuple(recipe.name for recipe in find_recipes(config).values())


def arms_to_train(config: SynthConfig, finetune: FinetuneConfig) -> tuple[str, ...]:
    """Return the arms that are to have a student.

    Where trainings go on without data these are the arms that have a row, unless none has: then
    there is nothing to go on with.

    Raises:
        BadInput: A shard is not the file that curation wrote.
        FileNotFoundError: Curation has not finished, and who has rows is to be known.
    """
    arms = named_arms(config, finetune)
    if finetune.without_data == "refuse":
        return arms
    having = set(read_split(curated_folder(config), "train")["arm"].to_pylist())
    for arm in arms:
        if arm not in having:
            log.warning("%s: no row to train it on; it is left out", arm)
    return tuple(arm for arm in arms if arm in having) or arms


def _train_arm(
    plan: Plan, arm: str, recipe: Recipe, due: int | None, manifests: dict[str, Manifest]
) -> bool:
    """Train an arm's models as far as its data go; return whether that changes none for a step."""
    for train in trainings(recipe):
        if due is not None and train in recipe.steps and recipe.steps.index(train) > due:
            log.info("%s: training %s waits for step %d", arm, train.name, due)
            return True
        fresh = False
        for training in _models_of(plan, arm, recipe, train):
            if _goes_without(training):
                log.warning("%s: no pair to train it on; it is left out", training.student)
                continue
            asked = training.student == student_name(recipe, train.name)
            if asked and changed_inputs(training.folder, training.inputs) != []:
                fresh = True
                _disown_later(plan, recipe, train)
            manifests[training.student] = _ensure(training)
        if fresh and has_later_steps(recipe, train.name):
            return False
    return True


def _disown_later(plan: Plan, recipe: Recipe, train: Train) -> None:
    """Take back what says that later models are finished: they follow from one that changes.

    Otherwise their steps would sample from them once more before they are trained anew.
    """
    all_of_them = trainings(recipe)
    for later in all_of_them[all_of_them.index(train) + 1 :]:
        name = student_name(recipe, later.name)
        storage.remove(storage.join(plan.models, name, MANIFEST))


def _goes_without(training: Training) -> bool:
    """Say whether a reward model is left out for want of pairs."""
    kept = training.train.kind == "reward" and training.config.without_data == "go_on"
    return kept and not has_pairs(training)


def _models_of(plan: Plan, arm: str, recipe: Recipe, train: Train) -> Iterator[Training]:
    """Yield the models of one training: one, or one a seed where it is the arm's own."""
    seeds = {student_name(recipe, train.name): plan.config.seed}
    if train == own_training(recipe):
        seeds = plan.config.students(arm)
    before = start_of(recipe, train)
    start = plan.base
    if before is not None:
        folder = storage.join(plan.models, student_name(recipe, before))
        start = identify(ModelConfig(model=folder))
    for student, seed in seeds.items():
        yield Training(
            plan=plan,
            arm=arm,
            train=train,
            student=student,
            config=plan.config.model_copy(update={"seed": seed}),
            start=start,
        )


def _ensure(training: Training) -> Manifest:
    manifest = stage(
        f"finetune {training.student}",
        training.folder,
        training.inputs,
        make=partial(make, training),
        clean=partial(clean, training),
    )
    storage.remove_folder(storage.join(training.plan.models, TRAINING, training.run_name))
    return manifest


def _plan(config: SynthConfig, finetune: FinetuneConfig, model_path: str | None) -> Plan:
    storage.use(config.storage)
    # Ray Train changes its workers' directory: every path has to be absolute.
    run = storage.absolute(config.run)
    model = config.target or config.teacher
    if model_path is not None:
        model = ModelConfig(model=model_path, family=model.family)
    base = identify(model)
    if not base.path:
        raise BadInput(
            file="config",
            field="target",
            value=base.name,
            rule="must be a model folder or a hub name: nothing else can be fine-tuned",
        )
    config = config.model_copy(update={"run": run})
    recipes = {recipe.name: recipe for recipe in find_recipes(config).values()}
    return Plan(
        config=finetune,
        recipes={arm: recipes[arm] for arm in arms_to_train(config, finetune)},
        curated=curated_folder(config),
        models=storage.join(run, "models"),
        base=base,
        family=model.family,
    )
