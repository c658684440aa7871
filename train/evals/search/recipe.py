"""The steps of an evaluation under test-time search: one searched answer to one prompt.

A search draws its candidates by chance. So the answer that an evaluation asks for "without chance"
is one searched answer, too: greedy candidates would all be the same.
"""

from functools import partial
from typing import cast

from guidelines import GuidelineSet
from synth.bestof.beam import BeamOptions, step_beam
from synth.bestof.best_of_n import BestOfNOptions, prm_best_of_n
from synth.chat import Score
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Trace
from train.evals.recipe import answer_trace
from train.evals.suites.suites import RECIPE

ROLES = ("student", "reward")


async def best_of_n_step(
    item: Item, models: Models, guidelines: GuidelineSet | None, *, options: BestOfNOptions
) -> list[Trace]:
    """Return the best of n answers to one prompt, by the model `reward`."""
    found = await prm_best_of_n(
        item.seed.messages, models.student, _scorer(models), models.sampling, options
    )
    return [answer_trace(found.reply, found.facts)]


async def beam_step(
    item: Item, models: Models, guidelines: GuidelineSet | None, *, options: BeamOptions
) -> list[Trace]:
    """Return the answer to one prompt that a beam ends with, led by the model `reward`."""
    found = await step_beam(
        item.seed.messages, models.student, _scorer(models), models.sampling, options
    )
    return [answer_trace(found.reply, found.facts)]


def _scorer(models: Models) -> Score:
    return cast(Score, models.reward)  # its head is a number's: both doors share an interface


def best_of_n(options: BestOfNOptions) -> Recipe:
    """Return the recipe that answers by the best of n."""
    return Recipe(
        name=RECIPE,
        version=1,
        steps=(Step(partial(best_of_n_step, options=options), roles=ROLES),),
        needs={"student": frozenset(), "reward": frozenset()},
        guided=False,
        options=options,
        configure=best_of_n,
    )


def beam(options: BeamOptions) -> Recipe:
    """Return the recipe that answers by a beam of steps."""
    return Recipe(
        name=RECIPE,
        version=1,
        steps=(Step(partial(beam_step, options=options), roles=ROLES),),
        needs={"student": frozenset({"prefix", "keep_stop"}), "reward": frozenset()},
        guided=False,
        options=options,
        configure=beam,
    )


BEST_OF_N = best_of_n(BestOfNOptions())
BEAM = beam(BeamOptions())
