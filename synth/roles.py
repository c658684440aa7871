"""The models of the roles that recipes call."""

from collections.abc import Iterable

from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.recipes import Recipe, Step

TRAINED_ROLES = ("student", "reward")  # played by models that the run itself trains


def needed_roles(config: SynthConfig, recipes: Iterable[Recipe]) -> dict[str, ModelConfig]:
    """Return the models of all roles that the recipes call, but those that the run trains.

    Raises:
        BadInput: A recipe needs a role that the config does not fill.
    """
    called: set[str] = set()
    for recipe in recipes:
        called.update(recipe.needs)
        called.update(*(step.roles for step in recipe.steps if isinstance(step, Step)))
    return {role: model_of(config, role) for role in sorted(called.difference(TRAINED_ROLES))}


def model_of(config: SynthConfig, role: str) -> ModelConfig:
    """Return the model of a role; the target is the teacher where no other is named.

    Raises:
        BadInput: The config names none.
    """
    model = getattr(config, role, None)
    if model is None and role == "target":
        model = config.teacher
    if not isinstance(model, ModelConfig):
        rule = f"a recipe of this run needs it: give {role}.model or {role}.endpoint"
        raise BadInput(file="config", field=role, value=None, rule=rule)
    return model
