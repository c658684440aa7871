"""What a recipe's models were trained on."""

from collections.abc import Mapping

from synth.recipes.base import Recipe
from synth.students import student_name, trainings
from train.report.cells import Json

WEIGHTS = ".safetensors"


def learning(recipe: Recipe, models: Mapping[str, Json], curated: Json) -> Json:
    """Return the recipe's finished trainings, the pairs made for them, and their rows.

    Args:
        recipe: The recipe.
        models: The run's models, by name.
        curated: The manifest of the curation.
    """
    found = {
        train.name: models[name]["rows"]
        for train in trainings(recipe)
        if (name := student_name(recipe, train.name)) in models
    }
    pairs = curated.get("pairs", {}).get(recipe.name, {})
    return {
        "models": list(found),
        "pairs": {training: sum(kinds.values()) for training, kinds in pairs.items()},
        "trained_rows": {"total": sum(found.values()) if found else None, "by_training": found},
    }


def first_rows(recipe: Recipe, models: Mapping[str, Json]) -> int | None:
    """Return the rows of the recipe's first training; None where it is no finished SFT."""
    first = trainings(recipe)[0]
    name = student_name(recipe, first.name)
    return models[name]["rows"] if first.kind == "sft" and name in models else None


def origin(recipe: Recipe, models: Mapping[str, Json]) -> Json | None:
    """Return the model that the recipe's first training started from, and its bytes of weights.

    The bytes are those of the model that came of it; None where there is none yet.
    """
    first = student_name(recipe, trainings(recipe)[0].name)
    if first not in models:
        return None
    files = models[first].get("files", [])
    return {
        "name": models[first].get("base", {}).get("name"),
        "bytes": sum(one["bytes"] for one in files if one["path"].endswith(WEIGHTS)),
    }
