"""A recipe of your own: one async function over one item."""

from guidelines import GuidelineSet
from synth.errors import Unparsed
from synth.recipes import Models
from synth.records import Item, Trace

VERSION = 1  # raise it when a change would alter the text of a row


async def brief(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Think in one call, answer in a second one."""
    rules = "\n".join(rule.text for rule in guidelines.guidelines) if guidelines else ""
    system = {"role": "system", "content": f"{rules}\nSay in three sentences what to weigh here."}
    thought = await models.teacher([system, *item.seed.messages], models.sampling)
    note = {"role": "system", "content": f"Answer briefly, knowing this: {thought.text}"}
    reply = await models.teacher([note, *item.seed.messages], models.sampling)
    if not (thought.text.strip() and reply.text.strip()):
        raise Unparsed("thought or answer is empty", raw=reply.text)
    return [Trace(reasoning=thought.text, answer=reply.text, raw=reply.text)]
