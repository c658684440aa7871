"""Recipes: how data is made.

`RECIPES` is a plain table; a user's own recipe is a dotted path to a `Recipe` or to a step
function.
"""

import importlib
import importlib.util
from functools import cache

from synth.errors import BadInput
from synth.recipes.base import Format, Models, Recipe, Step, StepFunction
from synth.recipes.refusal import REFUSAL
from synth.recipes.srg import SRG

__all__ = [
    "RECIPES",
    "Format",
    "Models",
    "Recipe",
    "Step",
    "StepFunction",
    "find_recipe",
    "locate_recipe",
]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (REFUSAL, SRG)}


def locate_recipe(name: str) -> None:
    """Check that `name` is a known recipe or a dotted path whose module exists.

    Nothing is imported but the packages above the module.

    Raises:
        BadInput: It is neither.
    """
    if name in RECIPES:
        return
    module, _, attribute = name.rpartition(".")
    known = ", ".join(RECIPES)
    rule = f"must be one of {known}, or a dotted path to a recipe of yours"
    if not attribute.isidentifier() or not all(p.isidentifier() for p in module.split(".")):
        raise BadInput(file="config", field="recipe", value=name, rule=rule)
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise BadInput(file="config", field="recipe", value=name, rule=rule)


@cache
def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`, importing a user's own by its dotted path.

    A bare step function becomes a recipe of one step; `VERSION`, `NEEDS` and `FORMAT` of its
    module are taken where they stand.
    """
    locate_recipe(name)
    if name in RECIPES:
        return RECIPES[name]
    module_name, _, attribute = name.rpartition(".")
    module = importlib.import_module(module_name)
    found = getattr(module, attribute, None)
    if isinstance(found, Recipe):
        return found
    if not callable(found):
        rule = "must name a Recipe or an async step function in that module"
        raise BadInput(file="config", field="recipe", value=name, rule=rule)
    return Recipe(
        name=attribute,
        version=getattr(module, "VERSION", 1),
        steps=(Step(found),),
        needs=getattr(module, "NEEDS", {"teacher": frozenset()}),
        format=getattr(module, "FORMAT", "think"),
    )
