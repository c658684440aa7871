"""Items beside a run's own, through the one scheduler: answers, verdicts, rewrites.

A batch has a workspace of its own, with a plan and traces like a run's: what is interrupted
resumes, what failed can be planned again, and what is finished is never asked again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from guidelines import GuidelineSet
from synth import storage
from synth.calls.interrupts import run_to_end
from synth.config.schema import ModelConfig, SynthConfig
from synth.drive.runner import Work
from synth.records import Item, Outcome, Sampling
from synth.synthesize import Options, num_workers, open_chats, work_through
from synth.workspace.ledger import again, owed, read_traces
from synth.workspace.plan import Lease, num_rounds, planned_tries, publish_round, round_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Items of one recipe, and what they run on.

    Attributes:
        stage: What progress and status call it.
        workspace: Folder for its plan and traces; its name changes with `fingerprint`.
        items: All of one recipe.
        recipe: What `find_recipe` takes for it.
        models: Its model of every role the recipe calls.
        sampling: What the recipe finds as `models.sampling`.
        fingerprint: Digest of what changes a row's text.
        guidelines: Guideline sets by the name that items call them.
        options: What is chosen of the recipe's options.
    """

    stage: str
    workspace: str
    items: Sequence[Item]
    recipe: str
    models: Mapping[str, ModelConfig]
    sampling: Sampling
    fingerprint: str
    guidelines: Mapping[str, GuidelineSet] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


RunBatch = Callable[[Batch], pa.Table]


def run_batch(config: SynthConfig, options: Options, batch: Batch) -> pa.Table:
    """Run what is owed of `batch`; return its items' `TRACES` rows, each of the highest try.

    Where nothing is owed, neither Ray nor an engine starts. Leases of other items, which a
    larger batch of the same workspace has planned, stay owed.
    """
    run_to_end(_work_off(config, options, batch))
    table = read_traces(batch.workspace)
    return table.filter(pc.field("item_id").isin([item.item_id for item in batch.items]))


async def _work_off(config: SynthConfig, options: Options, batch: Batch) -> None:
    _plan(batch)
    leases = _leases_of(batch)
    if not leases:
        return
    async with open_chats(config, batch.models) as chats:
        work = Work(
            workspace=batch.workspace,
            chats=chats,
            recipes={item.recipe: batch.recipe for item in batch.items[:1]},
            options={item.recipe: batch.options for item in batch.items[:1]},
            guidelines=batch.guidelines,
            sampling=batch.sampling,
            fingerprint=batch.fingerprint,
            format_retries=0,
            pool_deadline_s=config.limits.pool_deadline_s,
            num_workers=num_workers(config, chats),
            storage=config.storage,
        )
        await work_through(config, work, leases, batch.stage, options)


def _plan(batch: Batch) -> None:
    planned = planned_tries(batch.workspace)
    fresh = [item for item in batch.items if item.item_id not in planned]
    if due := [*again(batch.workspace, [Outcome.INTERRUPTED]), *fresh]:
        publish_round(batch.workspace, num_rounds(batch.workspace), due)


def _leases_of(batch: Batch) -> list[Lease]:
    """Return the owed leases that hold an item of the batch; they may hold others, too."""
    leases = owed(batch.workspace)
    wanted = pc.field("item_id").isin([item.item_id for item in batch.items])
    names: set[str] = set()
    for index in sorted({lease.round for lease in leases}):
        with storage.open_input(round_path(batch.workspace, index)) as source:
            table = pq.read_table(source, columns=["lease"], filters=wanted)
        names.update(table["lease"].unique().to_pylist())
    return [lease for lease in leases if lease.name in names]
