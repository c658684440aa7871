"""The plainest recipe there is: what it costs beyond its one call is the machinery's own."""

from guidelines import GuidelineSet
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Trace


async def one_call(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Keep what the teacher says to the prompt, whatever it is."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="", answer=reply.text, raw=reply.text)]


ONE_CALL = Recipe(
    name="one_call",
    version=1,
    steps=(Step(one_call),),
    needs={"teacher": frozenset()},
    format="answer",
    guided=False,
)
