"""RT: refusal training, the baseline of the papers (arXiv 2502.04040, section 2).

The same prompts as SRG, answered without reasoning: short refusals for harmful ones, plain
answers for the rest, all written by the teacher and never a constant.
"""

from guidelines import GuidelineSet
from synth.prompts import load_turns
from synth.recipes.base import Models, Recipe, Step, ask_until
from synth.recipes.srg import one_turn
from synth.records import Item, Reply, Trace

VERSION = 2


async def refusal(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Answer as the label asks: one trace without reasoning."""
    messages = [*load_turns("refusal.yaml")[item.seed.label], one_turn(item.seed)]
    trace = await ask_until(lambda: models.teacher(messages, models.sampling), _read, models)
    return [trace]


def _read(reply: Reply) -> Trace | None:
    answer = reply.text.strip()
    if not answer or reply.finish_reason == "length":
        return None
    return Trace(reasoning="", answer=answer, raw=reply.text)


REFUSAL = Recipe(
    name="refusal",
    version=VERSION,
    steps=(Step(refusal),),
    shares=("synth.judges.base", "synth.recipes.srg"),
    needs={"teacher": frozenset()},
    format="answer",
    guided=False,
)
