"""The models that a recipe trains on its way: their names, where they are, and what they made."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synth import storage
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.models.identity import identify
from synth.recipes.base import SFT, Recipe, Step, Train, version_of
from synth.workspace.ids import find_rows
from synth.workspace.stage import MANIFEST


def trainings(recipe: Recipe) -> tuple[Train, ...]:
    """Return the trainings of a recipe, in their order; one that names none has one SFT."""
    return tuple(step for step in recipe.steps if isinstance(step, Train)) or (SFT,)


def own_training(recipe: Recipe) -> Train:
    """Return the training whose model is the arm's student: the last that makes a student."""
    return [train for train in trainings(recipe) if train.kind != "reward"][-1]


def student_name(recipe: Recipe, training: str) -> str:
    """Return what the model of a training is called, and so its folder in `models/`."""
    own = own_training(recipe).name == training
    return recipe.name if own else f"{recipe.name}-{training}"


def start_of(recipe: Recipe, train: Train) -> str | None:
    """Return the training whose model `train` goes on from; None for the target itself."""
    if train.start:
        return train.start
    before: str | None = None
    for earlier in trainings(recipe):
        if earlier == train:
            break
        if earlier.kind != "reward":
            before = earlier.name
    return before


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Check that what the recipes train is in order, and called differently.

    Raises:
        BadInput: A training is named that is not there, or two models would share a name.
    """
    names: list[str] = []
    for recipe in recipes:
        check_recipe(recipe)
        names += [recipe.name, *(f"{recipe.name}-{train.name}" for train in trainings(recipe))]
    for name in names:
        if names.count(name) > 1:
            rule = "two models of this run would be called so: rename a recipe"
            raise BadInput(file="config", field="recipe", value=name, rule=rule)


def check_recipe(recipe: Recipe) -> None:
    """Check that what a recipe names is there, and its trainings before they are named.

    Raises:
        BadInput: A step or training goes on from one that is not, or two share a name, or their
            order can not work; or code that it shares has no version.
    """
    for module in recipe.shares:
        version_of(module)
    if fault := _order_fault(recipe):
        raise BadInput(file="recipe", field="steps", value=recipe.name, rule=fault)
    known: list[str] = []
    for step in recipe.steps:
        wanted = step.start if isinstance(step, Train) else step.student
        if wanted and wanted not in known:
            rule = f"recipe {recipe.name} has no training of that name before the step that asks"
            raise BadInput(file="recipe", field="student", value=wanted, rule=rule)
        if isinstance(step, Train):
            if step.name in known:
                rule = f"trainings of recipe {recipe.name} must have different names"
                raise BadInput(file="recipe", field="name", value=step.name, rule=rule)
            known.append(step.name)


def _order_fault(recipe: Recipe) -> str | None:
    """Return what is wrong with the order of a recipe's steps and trainings, if anything is."""
    first, *later = recipe.steps or (SFT,)
    if isinstance(first, Train):
        return "must begin with a step: there is nothing to train on before it"
    if any(isinstance(part, Step) and part.items is None for part in later):
        return "must have items for every step but the first"
    trained = [part for part in later if isinstance(part, Train)]
    if any(train.kind == "sft" for train in trained[1:]):
        return "must have no sft after another training: its rows are those before the first"
    if trained and all(train.kind == "reward" for train in trained):
        return "must have a training that makes a student"
    if any(train.kind != "sft" and train.pairs is None for train in trained):
        return "must have pairs for every training that is no sft"
    return None


def model_folder(run: str, name: str) -> str:
    """Return the folder of a trained model."""
    return storage.join(run, "models", name)


def is_trained(config: SynthConfig, name: str) -> bool:
    """Say whether a model is finished."""
    return storage.exists(storage.join(model_folder(config.run, name), MANIFEST))


def trained_model(config: SynthConfig, name: str) -> ModelConfig:
    """Return a finished model as the target is run: its engine arguments, its resources."""
    base = config.target or config.teacher
    folder = model_folder(config.run, name)
    return base.model_copy(update={"model": folder, "revision": None, "endpoint": None})


def model_ids(config: SynthConfig, recipe: Recipe) -> dict[str, str]:
    """Return what records call the model of each of the recipe's finished trainings."""
    names = {train.name: student_name(recipe, train.name) for train in trainings(recipe)}
    return {
        training: identify(trained_model(config, name)).model_id
        for training, name in names.items()
        if is_trained(config, name)
    }


def current_traces(recipe: Recipe, traces: pa.Table, models: Mapping[str, str]) -> pa.Table:
    """Return the traces that still count, in the order of `row_id`.

    A trace does not where the model that made it has been trained anew since, where the recipe
    has no such step (any more), or where it was made from such a trace.

    Args:
        recipe: Their recipe.
        traces: Its traces of every step: `row_id`, `step`, `teacher` and `parents` at least.
        models: What records call the model of each finished training.
    """
    steps, teachers = traces["step"].to_numpy(), traces["teacher"]
    child, parent = parent_places(traces)
    kept = np.zeros(len(traces) + 1, bool)  # the last place stands for parents that are not there
    for index in np.unique(steps):
        step = recipe.steps[index] if index < len(recipe.steps) else None
        if not isinstance(step, Step):
            continue
        of_now = steps == index
        if step.student:
            of_now &= find_rows(teachers, pa.array([models.get(step.student, "")])) == 0
        kept[:-1] |= of_now
        mine = child[steps[child] == index]
        theirs = parent[steps[child] == index]
        kept[mine[~kept[theirs]]] = False
    return traces.filter(pa.array(kept[:-1])).sort_by("row_id")


def parent_places(traces: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return, for every parent of every trace, the place of the trace and that of the parent.

    Places are rows of the table; -1 stands for a parent that is not in it.
    """
    parents = traces["parents"].combine_chunks()
    child = parents.value_parent_indices().to_numpy()
    return child, find_rows(pa.chunked_array([parents.flatten()]), traces["row_id"])


def has_students(recipe: Recipe) -> bool:
    """Say whether a step of the recipe samples from a model that it trains."""
    return any(isinstance(step, Step) and step.student for step in recipe.steps)


def has_later_steps(recipe: Recipe, training: str) -> bool:
    """Say whether a step of the recipe comes after one of its trainings."""
    names = [step.name if isinstance(step, Train) else "" for step in recipe.steps]
    after = recipe.steps[names.index(training) + 1 :] if training in names else ()
    return any(isinstance(step, Step) for step in after)
