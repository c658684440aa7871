"""Recipes: how data is made.

`RECIPES` is a plain table; a user's own recipe is a dotted path to a `Recipe` or to a step
function.
"""

import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from synth.config.schema import NAME
from synth.errors import BadInput
from synth.recipes.base import Before, Format, Models, Recipe, Step, StepFunction, Train
from synth.recipes.r1_act import R1_ACT
from synth.recipes.refusal import REFUSAL
from synth.recipes.saro import SARO
from synth.recipes.sgasa import SGASA
from synth.recipes.srg import SRG
from synth.recipes.stair import STAIR
from synth.recipes.star1 import STAR1
from synth.recipes.thinksafe import THINKSAFE

__all__ = [
    "RECIPES",
    "Before",
    "Format",
    "Models",
    "Recipe",
    "Step",
    "StepFunction",
    "Train",
    "configured",
    "find_recipe",
    "locate_recipe",
]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (REFUSAL, SRG, SARO, SGASA, R1_ACT, STAIR, STAR1, THINKSAFE)
}


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


def find_recipe(name: str, options: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe called `name`, importing a user's own by its dotted path.

    A bare step function becomes a recipe of one step; `VERSION`, `NEEDS` and `FORMAT` of its
    module are taken where they stand.

    Args:
        name: Its key in the table, or a dotted path.
        options: What is chosen of the recipe's options.

    Raises:
        BadInput: There is none, or it does not take the options.
    """
    if not options:
        return _find(name)
    # What YAML knows and JSON does not, such as a date, is no option of any recipe.
    return _configured(name, json.dumps(dict(options), sort_keys=True, default=str))


def configured(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """Return `recipe` with `options`.

    Raises:
        BadInput: It does not take them.
    """
    field = f"options.{recipe.name}"
    if recipe.configure is None:
        rule = f"recipe {recipe.name} has no options"
        raise BadInput(file="config", field=field, value=dict(options), rule=rule)
    try:
        return recipe.configure(type(recipe.options).model_validate(dict(options)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([field, *map(str, first["loc"])])
        raise BadInput(
            file="config", field=where, value=first["input"], rule=first["msg"]
        ) from None


@cache
def _configured(name: str, options: str) -> Recipe:
    return configured(_find(name), json.loads(options))


@cache
def _find(name: str) -> Recipe:
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
    needs = getattr(module, "NEEDS", {"teacher": frozenset()})
    return Recipe(
        name=attribute,
        version=getattr(module, "VERSION", 1),
        steps=(Step(found, roles=tuple(sorted(needs, key=lambda role: role != "teacher"))),),
        needs=needs,
        format=getattr(module, "FORMAT", "think"),
    )


def _plainly_named(path: str, recipe: Recipe) -> Recipe:
    """Check a recipe's name, which is an arm's, and so a folder's."""
    if re.fullmatch(NAME, recipe.name) is None:
        rule = "must have a name of up to 64 letters, digits, `.`, `_` and `-`"
        raise BadInput(file=path, field="recipe", value=recipe.name, rule=rule)
    return recipe
