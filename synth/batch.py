"""Items beside a run's own, through the one scheduler: answers, rewrites, verdicts of judges.

A batch has a workspace of its own, with a plan and traces like a run's: what is interrupted
resumes, what failed can be planned again, and what is finished is never asked again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from guidelines import GuidelineSet
from synth.calls.aio import run_until_interrupted
from synth.config.schema import ModelConfig, SynthConfig
from synth.drive.holder import hold
from synth.drive.runner import Work
from synth.judges.base import SAMPLE, Exchange, Judge, ModelJudge, RuleJudge, Verdict, undetermined
from synth.models.identity import identify
from synth.pools.layout import plan_pools
from synth.recipes import Models, Recipe, Step
from synth.records import TRACES, Item, Outcome, Sampling, Seed, Trace, digest
from synth.run import run_digest
from synth.synthesize import RunOptions, num_workers, open_pools, work_through
from synth.workspace.plan import Lease
from synth.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Items of one recipe, and what they run on.

    Attributes:
        stage: What progress and status call it.
        workspace: Folder for its plan and traces; its name changes with `fingerprint`.
        parts: The items, all of one recipe, a part at a time; an item may be in several.
        recipe: What `find_recipe` takes for it.
        models: Its model of every role the recipe calls.
        sampling: What the recipe finds as `models.sampling`.
        fingerprint: Digest of what changes a row's text.
        guidelines: Guideline sets by the name that items call them.
        options: What is chosen of the recipe's options.
        columns: Of `TRACES`: what is read of the rows.
    """

    stage: str
    workspace: str
    parts: Iterable[Sequence[Item]]
    recipe: str
    models: Mapping[str, ModelConfig]
    sampling: Sampling
    fingerprint: str
    guidelines: Mapping[str, GuidelineSet] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = tuple(TRACES.names)


RunBatch = Callable[[Batch], Iterator[pa.Table]]


def run_batch(
    config: SynthConfig,
    options: RunOptions,
    batch: Batch,
    opened: Callable[[str], Workspace] = Workspace,
) -> Iterator[pa.Table]:
    """Run what is owed of `batch`; return the rows of each part, read when it is their turn.

    Rows are of an item's last try. Where nothing is owed, neither Ray nor an engine starts.
    Leases of other items, which a larger batch of the same workspace has planned, stay owed.

    Args:
        config: The run beside which it is.
        options: How to go about it.
        batch: The items.
        opened: Gives the workspace of a folder; who runs several batches in one keeps it.
    """
    workspace = opened(batch.workspace)
    # `map` lets go of a part before it asks for the next one, as a loop's variable would not.
    parts = list(map(partial(_plan_part, workspace), batch.parts))
    leases = [{lease.name for lease in workspace.plan().all_leases(ids)} for ids in parts]
    due = [lease for lease in workspace.owed() if any(lease.name in own for own in leases)]
    if due:
        run_until_interrupted(_work_off(config, options, batch, due))
    return map(partial(_read, batch, workspace), parts, leases)


async def _work_off(
    config: SynthConfig, options: RunOptions, batch: Batch, leases: Sequence[Lease]
) -> None:
    recipe = leases[0].recipe
    pools = plan_pools(batch.models, run_digest(config.run), config.limits)
    work = Work(
        workspace=batch.workspace,
        pools=pools,
        recipes={recipe: batch.recipe},
        options={recipe: batch.options},
        guidelines=batch.guidelines,
        sampling=batch.sampling,
        fingerprint=batch.fingerprint,
        format_retries=0,
        pool_deadline_s=config.limits.pool_deadline_s,
        num_workers=num_workers(config.limits, pools),
        storage=config.storage,
    )
    with hold(config.run, batch.stage, options.force):
        async with open_pools(config, pools):
            await work_through(config, work, leases, batch.stage, options)


def _plan_part(workspace: Workspace, part: Sequence[Item]) -> list[str]:
    """Plan what was interrupted, and the items of a part that are not planned; return their ids."""
    items = {item.item_id: item for item in part}

    def due() -> Iterator[Item]:
        planned = workspace.plan().contains(items)
        yield from workspace.again([Outcome.INTERRUPTED])
        yield from (item for item, there in zip(items.values(), planned, strict=True) if not there)

    workspace.plan_more(due)
    return list(items)


def _read(batch: Batch, workspace: Workspace, ids: list[str], leases: set[str]) -> pa.Table:
    """Return the rows of a part, a lease at a time."""
    columns = list(dict.fromkeys([*batch.columns, "item_id"]))
    done = [name for name in workspace.finished() if name in leases]
    wanted = pc.field("item_id").isin(ids)
    read = (table.filter(wanted) for _, table in workspace.stream_traces(done, columns))
    empty = pa.schema([TRACES.field(name) for name in columns]).empty_table()
    return pa.concat_tables([empty, *read]).select(list(batch.columns))


RECIPE = "judge"
REVISION_HEX = 12
_VERSION = 1  # raised when the same reply would become another verdict, whatever the judge


def judge_revision(judge: Judge, model: ModelConfig | None = None) -> str:
    """Return the short digest of all that decides a judge's verdicts, the texts apart.

    Args:
        judge: The judge.
        model: The model it asks; None for rules.
    """
    if isinstance(judge, RuleJudge):
        return digest(judge.name, judge.version)[:REVISION_HEX]
    assert model is not None, "a model judge has a model"
    parts = (_VERSION, judge.name, judge.version, judge.max_tokens, judge.ask(SAMPLE))
    return digest(*parts, identify(model).digest)[:REVISION_HEX]


def asking_revision(judge: ModelJudge, model: ModelConfig) -> str:
    """Return the short digest of all that decides a model's replies, the texts apart.

    It is equal for judges that ask one question of one model, however they read the reply.
    """
    parts = (judge.question, judge.max_tokens, judge.ask(SAMPLE), identify(model).digest)
    return digest(*parts)[:REVISION_HEX]


def judge_exchanges(
    run: RunBatch,
    workspace: str,
    judge: Judge,
    model: ModelConfig | None,
    exchanges: Sequence[Exchange],
    stage: str,
) -> list[Verdict]:
    """Return the verdict on every exchange, in their order; see `judge_parts`."""
    [verdicts] = judge_parts(run, workspace, judge, model, [exchanges], stage)
    return verdicts


def judge_parts(
    run: RunBatch,
    workspace: str,
    judge: Judge,
    model: ModelConfig | None,
    parts: Iterable[Sequence[Exchange]],
    stage: str,
) -> Iterator[list[Verdict]]:
    """Return the verdicts on the exchanges of each part, in their order.

    A model is asked about all parts at once, and what it said of a part is read when its turn
    comes: the texts in memory are those of one part.

    Args:
        run: Runs a batch.
        workspace: Where a model judge's plan and replies are kept; one an `asking_revision`.
        judge: The judge.
        model: The model it asks; None for rules.
        parts: What it looks at.
        stage: What progress and status call it.

    Raises:
        LookupError: The judging was interrupted, and has not gone on.
    """
    if isinstance(judge, RuleJudge):
        return ([judge.judge(exchange) for exchange in part] for part in parts)
    assert model is not None, "a model judge has a model"
    asked: list[list[str | None]] = []
    batch = Batch(
        stage=stage,
        workspace=workspace,
        parts=map(partial(_items, judge, asked), parts),
        recipe="synth.batch.JUDGE",
        models={"judge": model},
        sampling=Sampling(temperature=0.0, max_tokens=judge.max_tokens),
        fingerprint=asking_revision(judge, model),
        columns=("item_id", "outcome", "error", "raw"),
    )
    return map(partial(_read_part, judge), run(batch), asked)


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


def _items(
    judge: ModelJudge, asked: list[list[str | None]], part: Sequence[Exchange]
) -> list[Item]:
    """Return what is asked about a part, each once; `asked` learns which item each exchange is."""
    ids: dict[Exchange, str] = {}
    items: dict[str, Item] = {}
    for exchange in part:
        if exchange.text.strip() and exchange not in ids:
            item = _item(judge, exchange)
            ids[exchange] = item.item_id
            items[ids[exchange]] = item
    asked.append([ids.get(exchange) for exchange in part])
    return list(items.values())


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


def _read_part(judge: ModelJudge, rows: pa.Table, asked: Sequence[str | None]) -> list[Verdict]:
    """Return what `judge` says of each exchange; one without a text is not asked about."""
    verdicts = {row["item_id"]: _read_row(judge, row) for row in rows.to_pylist()}
    return [undetermined("empty") if id is None else verdicts[id] for id in asked]


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
