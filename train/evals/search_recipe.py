"""The step of an evaluation under test-time search: one searched answer to one prompt.

A search draws its candidates by chance. So the answer that an evaluation asks for "without chance"
is one searched answer, too: greedy candidates would all be the same.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from guidelines import GuidelineSet
from synth.chat import Score
from synth.recipes import Models, Recipe, Step
from synth.recipes.base import Options
from synth.recipes.beam import BeamOptions, step_beam
from synth.recipes.best_of_n import BestOfNOptions, prm_best_of_n
from synth.recipes.rating import Found
from synth.records import Ability, Item, Trace
from train.evals.recipe import answer_trace
from train.evals.suites_suites import RECIPE

ROLES = ("student", "reward")

SearchFunction = Callable[..., Awaitable[Found]]


async def search_step(
    item: Item,
    models: Models,
    guidelines: GuidelineSet | None,
    *,
    search: SearchFunction,
    options: Options,
) -> list[Trace]:
    """Return the answer to one prompt that a search led by the model `reward` ends with."""
    reward = cast(Score, models.reward)  # its head is a number's: both doors share an interface
    found = await search(item.seed.messages, models.student, reward, models.sampling, options)
    return [answer_trace(found.reply, found.facts)]


def best_of_n(options: BestOfNOptions) -> Recipe:
    """Return the recipe that answers by the best of n."""
    return _searching(prm_best_of_n, options, frozenset(), best_of_n)


def beam(options: BeamOptions) -> Recipe:
    """Return the recipe that answers by a beam of steps."""
    return _searching(step_beam, options, frozenset({"prefix", "keep_stop"}), beam)


def _searching(
    search: SearchFunction,
    options: Options,
    needs: frozenset[Ability],
    configure: Callable[[Any], Recipe],
) -> Recipe:
    return Recipe(
        name=RECIPE,
        version=1,
        steps=(Step(partial(search_step, search=search, options=options), roles=ROLES),),
        needs={"student": needs, "reward": frozenset()},
        guided=False,
        options=options,
        configure=configure,
    )


BEST_OF_N = best_of_n(BestOfNOptions())
BEAM = beam(BeamOptions())
