"""A judge asked inside a step: the verdict that `synth.judging` would give, on one text."""

from dataclasses import replace

from synth.chat import Chat
from synth.judges.base import Exchange, Judge, RuleJudge, Verdict, undetermined
from synth.records import Sampling


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
