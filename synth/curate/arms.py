"""What the traces of each step of an arm serve.

The traces of one step, the *supervised* one, are judged by the rules and become SFT rows: the
nearest step before the recipe's first training, where that is an SFT; where a recipe names no
training, its last step that has traces. A recipe that begins with another training has no SFT rows.
Traces of all steps may become preference pairs of the trainings after them, and no rule of the
supervised rows speaks against that: an unsafe answer is a rejected side.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from synth.curate.rules import Drop, Dropped
from synth.recipes.base import SFT, Recipe, Step, Train


@dataclass(frozen=True, slots=True)
class Arm:
    """A recipe and the step its supervised rows come from.

    Attributes:
        recipe: The recipe, whose name is the arm's. Its own rules about supervised rows are left
            out where these come of a step before the last: they read what that one leaves.
        supervised: Index of that step; None where there is none.
    """

    recipe: Recipe
    supervised: int | None

    def pairings(self) -> list[tuple[int, Train]]:
        """Return the trainings on pairs, each with its index among the recipe's steps."""
        return [
            (index, part)
            for index, part in enumerate(self.recipe.steps)
            if isinstance(part, Train) and part.kind != "sft"
        ]

    def elsewhere(self, step: int) -> Dropped | None:
        """Return why a trace of `step` is no supervised row, or None where it may be one.

        It is dropped for that unless a pair is made of it.
        """
        if step == self.supervised:
            return None
        if self.supervised is not None and step < self.supervised:
            return Dropped(Drop.EARLIER_STEP, f"step {step} of {self.supervised}")
        trainings = [training.name for index, training in self.pairings() if index > step]
        if trainings:
            return Dropped(Drop.NO_CONTRAST, f"in no pair for {', '.join(trainings)}")
        return Dropped(Drop.UNUSED_STEP, f"step {step}")


def make_arms(
    recipes: Mapping[str, Recipe], traces: Iterable[pa.Table] | None = None
) -> dict[str, Arm]:
    """Return every recipe as an arm, in the order of names.

    Args:
        recipes: By name.
        traces: Of all of them, columns `recipe` and `step`; None stands for some of every step.
    """
    last = {} if traces is None else _last_steps(traces)
    return {name: _make_arm(recipes[name], last.get(name)) for name in sorted(recipes)}


def last_step_varies(recipe: Recipe) -> bool:
    """Say whether which step is supervised depends on the traces that are there."""
    return len(recipe.steps) > 1 and not any(isinstance(part, Train) for part in recipe.steps)


def _make_arm(recipe: Recipe, last: int | None) -> Arm:
    step = _supervised(recipe)
    if not last_step_varies(recipe) or last in (None, step):
        return Arm(recipe, step)
    return Arm(replace(recipe, keep=None, max_rows=None), last)


def _supervised(recipe: Recipe) -> int | None:
    """Return the step whose traces are supervised rows, if all steps have traces."""
    trainings = [(i, part) for i, part in enumerate(recipe.steps) if isinstance(part, Train)]
    index, first = trainings[0] if trainings else (len(recipe.steps), SFT)
    before = [i for i, part in enumerate(recipe.steps[:index]) if isinstance(part, Step)]
    return max(before, default=None) if first.kind == "sft" else None


def _last_steps(traces: Iterable[pa.Table]) -> dict[str, int]:
    last: dict[str, int] = {}
    for table in traces:
        found = table.group_by("recipe").aggregate([("step", "max")]).to_pydict()
        for name, step in zip(found["recipe"], found["step_max"], strict=True):
            last[name] = max(step, last.get(name, 0))
    return last
