"""The shape of a judge: what it looks at, what it may say, and how its words are read.

A judge's verdict is one of its own classes, or `undetermined` with the reason; nothing is ever
folded into a class because it could not be read. There are two kinds of judges: rules look at
the text themselves; models are asked, and their reply is parsed strictly.

A judged text may hold anything: a forged end of itself, a verdict, orders to the judge. So it
stands between marks that it can not contain (`delimit`), and is data there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from synth.records import Message, digest

VERSION = 1  # raised by hand when a change would alter the text of a row

UNDETERMINED = "undetermined"

SAFETY = ("unsafe", "safe")
REFUSAL = ("refusal", "partial", "compliance")
PREFERENCE = ("first", "tie", "second")

Span = tuple[int, int]
Role = Literal["guard", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a judge looks at.

    Attributes:
        prompt: The request, before any attack; empty where a text is judged by itself.
        text: The text that is judged: an answer, a reasoning, or both.
        rival: A second answer to the same prompt, for judges that compare.
    """

    prompt: str
    text: str
    rival: str = ""


SAMPLE = Exchange(prompt="prompt", text="text", rival="rival")  # shows a judge's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says.

    Attributes:
        verdict: One of the judge's classes, or `undetermined`.
        reason: Id of the rule that decided, or why there is no verdict; may be empty.
        value: A number, for judges that grade.
        categories: Hazard categories, as the judge calls them.
        span: Where a rule matched, as offsets into the judged text.
        raw: The reply it was read from, of judges that are models; set by who asked.
    """

    verdict: str
    reason: str = ""
    value: float | None = None
    categories: tuple[str, ...] = ()
    span: Span | None = None
    raw: str = ""


def undetermined(reason: str) -> Verdict:
    """Return the verdict that there is none."""
    return Verdict(verdict=UNDETERMINED, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleJudge:
    """A judge that is a function.

    Attributes:
        name: Its key in the table.
        version: Raised by hand when a verdict could change.
        classes: What it may say beside `undetermined`.
        judge: The function.
    """

    name: str
    version: int
    classes: Sequence[str]
    judge: Callable[[Exchange], Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJudge:
    """A judge that is a model, asked in one call with greedy sampling.

    Attributes:
        name: Its key in the table.
        version: Raised by hand when `ask` or `parse` would give something else.
        classes: What it may say beside `undetermined`.
        role: Which section of the config names its model where nothing else does.
        ask: The conversation for an exchange. Its text can not forge a verdict.
        parse: Reads a whole reply; strict, and `undetermined` wherever there is doubt.
        max_tokens: Room for the reply.
        harmful_only: It may only be shown harmful prompts: on others its verdicts mean nothing.
        asks: Name of what it asks, where other judges ask it as well and read the reply in
            another way: then `ask` and `max_tokens` are equal to theirs.
    """

    name: str
    version: int
    classes: Sequence[str]
    role: Role
    ask: Callable[[Exchange], list[Message]]
    parse: Callable[[str], Verdict]
    max_tokens: int
    harmful_only: bool = False
    asks: str = ""

    @property
    def question(self) -> str:
        """The name of what it asks; its own, where no other judge asks that."""
        return self.asks or self.name


Judge = RuleJudge | ModelJudge


def delimit(texts: Mapping[str, str]) -> dict[str, str]:
    """Return each text between an opening and a closing line that name it.

    The same texts always get the same marks: verdicts are kept by content.
    """
    mark = mark_for(*texts.values())
    return {
        name: f"[begin {name} {mark}]\n{text}\n[end {name} {mark}]" for name, text in texts.items()
    }


def mark_for(*texts: str) -> str:
    """Return a word that depends on all texts and stands in none of them."""
    mark = digest(*texts)
    while any(mark in text for text in texts):
        mark += digest(mark, *texts)  # in the end longer than every text
    return mark
