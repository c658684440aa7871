"""How steps ask: for an answer with its reasoning, and for a judge's verdict on one text.

A model that thinks by itself is asked plainly. Any other is shown how in the turns before the
request, and held to two headed parts. A judge asked inside a step gives the verdict that
`synth.batch` would give on the same text.
"""

from dataclasses import dataclass, replace

from synth.chat import Chat
from synth.judges.base import Exchange, Judge, RuleJudge, Verdict, undetermined
from synth.recipes.srg import declining_pattern, times
from synth.recipes.surgery import split_headed
from synth.records import Reply, Sampling

VERSION = 1  # raised by hand when a change would alter the text of a row

HEADINGS = ("Thought", "Answer")  # ours
OPENING = "The user "  # ours: small models tend to begin with an answer
OPENING_CHARS, PART_CHARS = 30, 60  # ours: a shorter first sentence or part said nothing
REFUSAL_CHARS = (20, 200)  # ours: after the refusal's opening
OPENING_SHARE, THOUGHT_SHARE, ANSWER_SHARE = 0.2, 0.3, 0.45  # ours: of the character budget


async def ask_judge(judge: Judge, exchange: Exchange, chat: Chat | None) -> Verdict:
    """Return the verdict of `judge` on `exchange`.

    Rules decide at once. A model is asked once, greedily; an empty text is not shown to it, and
    a reply that was cut is not read.

    Args:
        judge: The judge.
        exchange: What it looks at.
        chat: The model it asks; rules need none.

    Raises:
        PoolFault: As the chat does.
        RowFault: As the chat does, for a text over its context as well.
    """
    if isinstance(judge, RuleJudge):
        return judge.judge(exchange)
    assert chat is not None, "a model judge has a model"
    if not exchange.text.strip():
        return undetermined("empty")
    sampling = Sampling(temperature=0.0, max_tokens=judge.max_tokens)
    reply = await chat(judge.ask(exchange), sampling)
    cut = reply.finish_reason == "length"
    verdict = undetermined("cut off") if cut else judge.parse(reply.text)
    return replace(verdict, raw=reply.text)


@dataclass(frozen=True, slots=True)
class Thinking:
    """A reply taken apart; the answer may be empty."""

    reasoning: str
    answer: str


def refusal_pattern() -> str:
    """Return the regular expression of a short refusal."""
    least, most = REFUSAL_CHARS
    return declining_pattern(f"{{{least},{most}}}")


def thought_pattern(max_tokens: int) -> str:
    """Return the regular expression of a headed thought of two sentences or more.

    Raises:
        BadInput: There is too little room for it.
    """
    rest = times(max_tokens, THOUGHT_SHARE, PART_CHARS)
    opening = times(max_tokens, OPENING_SHARE, OPENING_CHARS)
    return rf"## Thought\n{OPENING}[^.!?#<>\n]{opening}\. [^#<>\n]{rest}[.!?]"


def thinking_pattern(max_tokens: int, *, declines: bool = False) -> str:
    """Return the regular expression of a whole reply, its lengths fitted to the budget.

    Args:
        max_tokens: Room for the reply.
        declines: The answer is a short refusal; otherwise it is free.

    Raises:
        BadInput: There is too little room for it.
    """
    thought = thought_pattern(max_tokens)
    free = rf"[^#<>]{times(max_tokens, ANSWER_SHARE, PART_CHARS)}[.!?]"
    return rf"{thought}\n\n## Answer\n{refusal_pattern() if declines else free}"


def read_thinking(reply: Reply, *, native: bool) -> Thinking | None:
    """Return the thought and, where there is one, the answer; None where no thought is found.

    Args:
        reply: The reply.
        native: The model marks its reasoning by itself; otherwise the parts are headed.
    """
    if native:
        reasoning = reply.reasoning.strip()
        return Thinking(reasoning, reply.text.strip()) if reasoning else None
    parts = split_headed(reply.text)
    if parts is None or tuple(parts) not in (HEADINGS, HEADINGS[:1]):
        return None
    return Thinking(parts["Thought"], parts.get("Answer", ""))
