"""The one step of the evaluation: ask the student once, take its text apart."""

from guidelines import GuidelineSet
from synth.families import DEFAULT, split_reasoning
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Outcome, Trace
from train.evals.suites import RECIPE


async def evaluate_step(
    item: Item, models: Models, guidelines: GuidelineSet | None = None
) -> list[Trace]:
    """Return the student's answer to one prompt, without any guideline."""
    reply = await models.student(item.seed.messages, models.sampling)
    reasoning, answer, closed = split_reasoning(reply.text, DEFAULT)
    cut = reply.finish_reason == "length"
    return [
        Trace(
            reasoning=reasoning,
            answer=answer,
            raw=reply.text,
            payload={"closed": closed, "finish_reason": reply.finish_reason},
            outcome=Outcome.TRUNCATED if cut else Outcome.OK,
        )
    ]


EVALUATE = Recipe(
    name=RECIPE,
    version=1,
    steps=(Step(evaluate_step),),
    needs={"student": frozenset()},
    guided=False,
)
