"""Recipes: how data is made.

`RECIPES` is a plain table; a user's own recipe is a dotted path to a `Recipe` or to a step
function.
"""

import importlib
import importlib.util
import inspect
import re
from functools import cache

from synth.config import NAME
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
        # No other process has this one's `__main__`.
        found = module != "__main__" and importlib.util.find_spec(module) is not None
    except ImportError:
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
        return _plainly_named(name, found)
    if not inspect.iscoroutinefunction(found):
        rule = "must name a Recipe or an async step function in that module"
        raise BadInput(file="config", field="recipe", value=name, rule=rule)
    return Recipe(
        name=attribute,
        version=getattr(module, "VERSION", 1),
        steps=(Step(found),),
        needs=getattr(module, "NEEDS", {"teacher": frozenset()}),
        format=getattr(module, "FORMAT", "think"),
    )


def _plainly_named(path: str, recipe: Recipe) -> Recipe:
    """Check a recipe's name, which is an arm's, and so a folder's."""
    if re.fullmatch(NAME, recipe.name) is None:
        rule = "must have a name of up to 64 letters, digits, `.`, `_` and `-`"
        raise BadInput(file=path, field="recipe", value=recipe.name, rule=rule)
    return recipe
