"""SRG: safety reasoning with guidelines (arXiv 2502.04040, section 4).

The teacher reasons about a prompt under written guidelines from several perspectives and then
answers; later the guidelines are dropped from the input and the student learns to reason that
way by itself (context distillation). The paper's prompt, tags and number of samples are not
public; the shape below is ours.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from guidelines import Exemplar, GuidelineSet
from synth.errors import BadInput
from synth.judges.base import delimit
from synth.prompts import load_text, render
from synth.recipes.base import Models, Recipe, Step, ask_until
from synth.recipes.surgery import split_headed
from synth.records import Item, Message, Reply, Seed, Trace

VERSION = 2  # of what other recipes take from here as well

SECTIONS = ("Request", "Risk", "Decision", "Answer")  # ours
DECISIONS = ("decline", "help")  # ours
DECLINING = ("I'm sorry, but I can't", "I can't help with", "I won't help with")  # ours
CHARS_PER_TOKEN = 3.0  # ours: below the 4 of plain English, so that the bounds fit the budget
MIN_CHARS = 60  # ours: shorter sections said nothing
PROSE_SHARE, ANSWER_SHARE = 0.25, 0.5  # ours: of the character budget, two prose sections

CLOSING = {"decline": "So I will decline.", "help": "So I will help."}  # ours


async def srg(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Reason under the guidelines, decide, answer: one trace."""
    assert guidelines is not None, "srg is a guided recipe"
    messages = [*guided_turns(guidelines), one_turn(item.seed)]
    sampling = replace(models.sampling, regex=section_pattern(models.sampling.max_tokens))
    return [await ask_until(lambda: models.teacher(messages, sampling), read_sections, models)]


def guided_turns(guidelines: GuidelineSet) -> list[Message]:
    """Return the turns all prompts share: guidelines first, then the worked exemplars.

    They come first and never vary, so that prefix caching pays for them once.
    """
    texts = (guideline.text for guideline in guidelines.guidelines)
    system = render(load_text("srg.md"), guidelines=bullets(texts))
    turns = [Message(role="system", content=system)]
    for exemplar in guidelines.exemplars:
        turns.append(Message(role="user", content=exemplar.prompt))
        turns.append(Message(role="assistant", content=_write(exemplar)))
    return turns


def bullets(lines: Iterable[str]) -> str:
    """Return lines as a list."""
    return "\n".join(f"- {line}" for line in lines)


def section_pattern(max_tokens: int) -> str:
    """Return the regular expression of a whole reply, its lengths fitted to the budget.

    The answer opens as the reply's own decision says: a small teacher that has decided to
    decline tends to forget it one heading later.

    Raises:
        BadInput: The budget is too small for it.
    """
    prose, *answers = pieces(max_tokens, PROSE_SHARE, ANSWER_SHARE)
    ends = (
        rf"{decision}\n\n## Answer\n{answer}"
        for decision, answer in zip(DECISIONS, answers, strict=True)
    )
    return rf"## Request\n{prose}\n\n## Risk\n{prose}\n\n## Decision\n({'|'.join(ends)})"


def pieces(max_tokens: int, prose_share: float, answer_share: float) -> tuple[str, str, str]:
    """Return the patterns of a prose section, of an answer that declines, and of one that helps.

    Args:
        max_tokens: Room for the whole reply.
        prose_share: Of its characters, for a section at most, and for an answer that declines.
        answer_share: The same for an answer that helps.

    Raises:
        BadInput: There is too little room.
    """
    prose = times(max_tokens, prose_share, MIN_CHARS)
    declines = times(max_tokens, prose_share, MIN_CHARS // 3)
    helps = times(max_tokens, answer_share, MIN_CHARS)
    return rf"[^#<>\n]{prose}[.!?]", declining_pattern(declines), rf"[^#<>]{helps}[.!?]"


def declining_pattern(length: str) -> str:
    """Return the regular expression of a short refusal, `length` after its opening."""
    return rf"({'|'.join(DECLINING)}) [^#<>\n]{length}[.!?]"


def times(max_tokens: int, share: float, least: int) -> str:
    """Return `{least,most}` of a regular expression, `most` being a share of the budget.

    Raises:
        BadInput: That is less than `least`.
    """
    most = int(max_tokens * CHARS_PER_TOKEN * share)
    if most < least:
        enough = math.ceil(least / (CHARS_PER_TOKEN * share))
        rule = f"must be {enough} or more: the parts of a reply would have no room"
        raise BadInput(file="config", field="sampling.max_tokens", value=max_tokens, rule=rule)
    return f"{{{least},{most}}}"


def read_headed(reply: Reply, names: Sequence[str]) -> dict[str, str] | None:
    """Return a reply's sections by name.

    None where one is missing, empty or out of order, where the decision is none of `DECISIONS`,
    or where the reply was cut.
    """
    sections = split_headed(reply.text)
    if sections is None or tuple(sections) != tuple(names) or reply.finish_reason == "length":
        return None
    return sections if sections.get("Decision", "help") in DECISIONS else None


def _write(exemplar: Exemplar) -> str:
    return "\n\n".join(f"## {name}\n{text}" for name, text in exemplar.sections)


def one_turn(seed: Seed) -> Message:
    """Return the seed's conversation as one turn of the user, to stand after worked examples.

    Turns stand between marks, so that none can pass for another, or for two.
    """
    if not seed.context:
        return Message(role="user", content=seed.prompt)
    turns = {f"{m['role']} {place}": m["content"] for place, m in enumerate(seed.messages, start=1)}
    told = "\n\n".join(delimit(turns).values())
    return Message(role="user", content=f"The conversation so far:\n\n{told}")


def read_sections(reply: Reply) -> Trace | None:
    """Return a reply's sections as a trace, or None where they are not all there and whole."""
    if (sections := read_headed(reply, SECTIONS)) is None:
        return None
    decision = sections["Decision"]
    return Trace(
        reasoning=f"{sections['Request']} {sections['Risk']} {CLOSING[decision]}",
        answer=sections["Answer"],
        raw=reply.text,
        payload={"decision": decision, "sections": sections},
    )


SRG = Recipe(
    name="srg",
    version=VERSION,
    steps=(Step(srg),),
    shares=("synth.judges.base", "synth.recipes.surgery"),
    needs={"teacher": frozenset({"regex"})},
)
