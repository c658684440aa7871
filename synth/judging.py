"""Verdicts of any judge on any exchanges: rules at once, models through the one scheduler.

An item of a model judge is the conversation it is asked, so equal conversations are asked once,
whichever model wrote the answer and whichever judge reads the reply, and what has been asked is
never asked again. Replies are kept as they came and read anew each time: a judge that reads them
otherwise needs no new ones. Whatever keeps a judge from a verdict is the verdict's reason: a reply
that was cut, a text over its context, a call over its deadline. A pool that answers nothing is no
verdict at all: it ends the run, like any pool's silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from guidelines import GuidelineSet
from synth.batch import Batch, RunBatch
from synth.config.schema import ModelConfig
from synth.digest import digest
from synth.judges.base import Exchange, Judge, ModelJudge, RuleJudge, Verdict, undetermined
from synth.models.identity import identify
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Outcome, Sampling, Seed, Trace

RECIPE = "judge"
REVISION_HEX = 12
_VERSION = 1  # raised when the same reply would become another verdict, whatever the judge
_SAMPLE = Exchange(prompt="prompt", text="text", rival="rival")  # shows a judge's own words


def judge_revision(judge: Judge, model: ModelConfig | None = None) -> str:
    """Return the short digest of all that decides a judge's verdicts, the texts apart.

    Args:
        judge: The judge.
        model: The model it asks; None for rules.
    """
    if isinstance(judge, RuleJudge):
        return digest(judge.name, judge.version)[:REVISION_HEX]
    assert model is not None, "a model judge has a model"
    parts = (_VERSION, judge.name, judge.version, judge.max_tokens, judge.ask(_SAMPLE))
    return digest(*parts, identify(model).digest)[:REVISION_HEX]


def asking_revision(judge: ModelJudge, model: ModelConfig) -> str:
    """Return the short digest of all that decides a model's replies, the texts apart.

    It is equal for judges that ask one question of one model, however they read the reply.
    """
    parts = (judge.question, judge.max_tokens, judge.ask(_SAMPLE), identify(model).digest)
    return digest(*parts)[:REVISION_HEX]


def judge_exchanges(
    run: RunBatch,
    workspace: str,
    judge: Judge,
    model: ModelConfig | None,
    exchanges: Sequence[Exchange],
    stage: str,
) -> list[Verdict]:
    """Return the verdict on every exchange, in their order.

    Args:
        run: Runs a batch.
        workspace: Where a model judge's plan and replies are kept; one an `asking_revision`.
        judge: The judge.
        model: The model it asks; None for rules.
        exchanges: What it looks at.
        stage: What progress and status call it.

    Raises:
        LookupError: The judging was interrupted, and has not gone on.
    """
    if isinstance(judge, RuleJudge):
        return [judge.judge(exchange) for exchange in exchanges]
    assert model is not None, "a model judge has a model"
    items = {exchange: _item(judge, exchange) for exchange in exchanges if exchange.text.strip()}
    batch = Batch(
        stage=stage,
        workspace=workspace,
        items=list({item.item_id: item for item in items.values()}.values()),
        recipe="synth.judging.JUDGE",
        models={"judge": model},
        sampling=Sampling(temperature=0.0, max_tokens=judge.max_tokens),
        fingerprint=asking_revision(judge, model),
    )
    table = run(batch).select(["item_id", "outcome", "error", "raw"]) if items else None
    rows = [] if table is None else table.to_pylist()
    verdicts = {row["item_id"]: _read_row(judge, row) for row in rows}
    return [
        verdicts[items[exchange].item_id] if exchange in items else undetermined("empty")
        for exchange in exchanges
    ]


async def judge_step(
    item: Item, models: Models, guidelines: GuidelineSet | None = None
) -> list[Trace]:
    """Ask once: there is no second try for a better reply."""
    reply = await models.judge(item.payload["messages"], models.sampling)
    cut = reply.finish_reason == "length"
    return [
        Trace(
            reasoning=reply.reasoning,
            answer=reply.text,
            raw=reply.text,
            outcome=Outcome.TRUNCATED if cut else Outcome.OK,
        )
    ]


JUDGE = Recipe(
    name=RECIPE,
    version=1,
    steps=(Step(judge_step, roles=("judge",)),),
    needs={"judge": frozenset()},
    guided=False,
)


def _item(judge: ModelJudge, exchange: Exchange) -> Item:
    messages = judge.ask(exchange)
    seed = Seed(
        seed_id=digest(messages),
        prompt=exchange.prompt,
        label="borderline",
        category=judge.question,
        source=RECIPE,
    )
    return Item(seed=seed, recipe=RECIPE, payload={"messages": messages})


def _read_row(judge: ModelJudge, row: Mapping[str, Any]) -> Verdict:
    """Return what `judge` reads in a row of replies; a row without one says why.

    Raises:
        LookupError: The row was interrupted: the reply is still owed.
    """
    if row["outcome"] == Outcome.INTERRUPTED:
        raise LookupError(f"{judge.name} still owes a reply: {row['item_id']}")
    raw = row["raw"] or ""
    verdict = judge.parse(raw) if row["outcome"] == Outcome.OK else undetermined(_why(row))
    return replace(verdict, raw=raw)


def _why(row: Mapping[str, Any]) -> str:
    """Name an outcome and the class of its error: `failed TimeoutError`."""
    if row["outcome"] == Outcome.TRUNCATED:
        return "cut off"
    error = (row["error"] or "").partition(":")[0].strip()
    return f"{row['outcome']} {error}".strip() if error.isidentifier() else str(row["outcome"])
