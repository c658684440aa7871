"""The plainest recipes there are: what they cost beyond their calls is the machinery's own."""

from guidelines import GuidelineSet
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Trace


async def one_call(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Keep what the teacher says to the prompt, whatever it is."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="", answer=reply.text, raw=reply.text)]


async def two_calls(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Ask the teacher, then the judge."""
    written = await models.teacher(item.seed.messages, models.sampling)
    judged = await models.judge(item.seed.messages, models.sampling)
    return [Trace(reasoning=judged.text, answer=written.text, raw=written.text)]


ONE_CALL = Recipe(
    name="one_call",
    version=1,
    steps=(Step(one_call),),
    needs={"teacher": frozenset()},
    format="answer",
    guided=False,
)

TWO_CALLS = Recipe(
    name="two_calls",
    version=1,
    steps=(Step(two_calls),),
    needs={"teacher": frozenset(), "judge": frozenset()},
    format="answer",
    guided=False,
)

ONE_CALL_PATH = f"{__name__}.ONE_CALL"  # where workers find them
TWO_CALLS_PATH = f"{__name__}.TWO_CALLS"
