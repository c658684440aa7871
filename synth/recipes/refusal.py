"""RT: refusal training, the baseline of the papers (arXiv 2502.04040, section 2).

The same prompts as SRG, answered without reasoning: short refusals for harmful ones, plain
answers for the rest, all written by the teacher and never a constant.
"""

from guidelines import GuidelineSet
from synth.errors import Unparsed
from synth.prompts import load_turns
from synth.recipes.base import Models, Recipe, Step
from synth.records import Item, Trace

VERSION = 1


async def refusal(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Answer as the label asks: one trace without reasoning."""
    messages = [*load_turns("refusal.yaml")[item.seed.label], *item.seed.messages]
    for _ in range(1 + models.format_retries):
        reply = await models.teacher(messages, models.sampling)
        if reply.text.strip() and reply.finish_reason != "length":
            return [Trace(reasoning="", answer=reply.text.strip(), raw=reply.text)]
    cut = reply.finish_reason == "length"
    raise Unparsed("the answer is cut or empty", raw=reply.text, truncated=cut)


REFUSAL = Recipe(
    name="refusal",
    version=VERSION,
    steps=(Step(refusal),),
    needs={"teacher": frozenset()},
    format="answer",
    guided=False,
)
