"""SRG: safety reasoning with guidelines (arXiv 2502.04040, section 4).

The teacher reasons about a prompt under written guidelines from several perspectives and then
answers; later the guidelines are dropped from the input and the student learns to reason that
way by itself (context distillation). The paper's prompt, tags and number of samples are not
public; the shape below is ours.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from guidelines import Exemplar, GuidelineSet
from synth.chat import Message, Reply
from synth.prompts import load_text, render
from synth.recipes.base import Models, Recipe, Step, ask_until
from synth.records import Item, Trace

VERSION = 1

SECTIONS = ("Request", "Risk", "Decision", "Answer")  # ours
DECISIONS = ("decline", "help")  # ours
DECLINING = ("I'm sorry, but I can't", "I can't help with", "I won't help with")  # ours
CHARS_PER_TOKEN = 3.0  # ours: below the 4 of plain English, so that the bounds fit the budget
MIN_CHARS = 60  # ours: shorter sections said nothing
PROSE_SHARE, ANSWER_SHARE = 0.25, 0.5  # ours: of the character budget, two prose sections

_CLOSING = {"decline": "So I will decline.", "help": "So I will help."}


async def srg(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Reason under the guidelines, decide, answer: one trace."""
    assert guidelines is not None, "srg is a guided recipe"
    messages = [*guided_turns(guidelines), _user_turn(item)]
    sampling = replace(models.sampling, regex=section_pattern(models.sampling.max_tokens))
    return [await ask_until(lambda: models.teacher(messages, sampling), _read, models)]


def guided_turns(guidelines: GuidelineSet) -> list[Message]:
    """Return the turns all prompts share: guidelines first, then the worked exemplars.

    They come first and never vary, so that prefix caching pays for them once.
    """
    texts = "\n".join(f"- {guideline.text}" for guideline in guidelines.guidelines)
    system = render(load_text("srg.md"), guidelines=texts)
    turns = [Message(role="system", content=system)]
    for exemplar in guidelines.exemplars:
        turns.append(Message(role="user", content=exemplar.prompt))
        turns.append(Message(role="assistant", content=_write(exemplar)))
    return turns


def section_pattern(max_tokens: int) -> str:
    """Return the regular expression of a whole reply, its lengths fitted to the budget.

    The answer opens as the reply's own decision says: a small teacher that has decided to
    decline tends to forget it one heading later.
    """
    budget = max_tokens * CHARS_PER_TOKEN
    short, long = int(budget * PROSE_SHARE), int(budget * ANSWER_SHARE)
    prose = rf"[^#<>\n]{{{MIN_CHARS},{short}}}[.!?]"
    declines = rf"({'|'.join(DECLINING)}) [^#<>\n]{{{MIN_CHARS // 3},{short}}}[.!?]"
    helps = rf"[^#<>]{{{MIN_CHARS},{long}}}[.!?]"
    ends = (
        rf"{decision}\n\n## Answer\n{answer}"
        for decision, answer in zip(DECISIONS, (declines, helps), strict=True)
    )
    return rf"## Request\n{prose}\n\n## Risk\n{prose}\n\n## Decision\n({'|'.join(ends)})"


def parse_sections(text: str) -> dict[str, str] | None:
    """Return the four sections by name, or None where one is missing, empty or out of order."""
    parts = re.split(r"^## (\w+)\s*$", text.strip(), flags=re.MULTILINE)
    names, bodies = parts[1::2], [body.strip() for body in parts[2::2]]
    if parts[0].strip() or tuple(names) != SECTIONS or not all(bodies):
        return None
    sections = dict(zip(names, bodies, strict=True))
    return sections if sections["Decision"] in DECISIONS else None


def _write(exemplar: Exemplar) -> str:
    return "\n\n".join(f"## {name}\n{text}" for name, text in exemplar.sections)


def _user_turn(item: Item) -> Message:
    turns: Sequence[Message] = item.seed.messages
    if len(turns) == 1:
        return turns[0]
    told = "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns)
    return Message(role="user", content=f"The conversation so far:\n\n{told}")


def _read(reply: Reply) -> Trace | None:
    if (sections := parse_sections(reply.text)) is None:
        return None
    decision = sections["Decision"]
    return Trace(
        reasoning=f"{sections['Request']} {sections['Risk']} {_CLOSING[decision]}",
        answer=sections["Answer"],
        raw=reply.text,
        payload={"decision": decision, "sections": sections},
    )


SRG = Recipe(
    name="srg",
    version=VERSION,
    steps=(Step(srg),),
    needs={"teacher": frozenset({"regex"})},
)
