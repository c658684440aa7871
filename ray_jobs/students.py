"""Asking a student through the one scheduler: an evaluation prompt x sample is an item."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.config import RunConfig
from synth import storage
from synth.chat import Sampling
from synth.config import ModelConfig
from synth.digest import digest
from synth.interrupts import run_to_end
from synth.ledger import again, owed, read_traces
from synth.models import identify
from synth.plan import num_rounds, planned_tries, publish_round
from synth.records import Item, Outcome
from synth.runner import Work
from synth.synthesize import Options, num_workers, open_chats, work_through
from train.evals.recipe import EVALUATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What one model is asked, and where the answers are kept."""

    name: str
    model: ModelConfig
    items: list[Item]
    workspace: str
    fingerprint: str


def ask(
    config: RunConfig, options: Options, name: str, model: ModelConfig, items: list[Item]
) -> pa.Table:
    """Have `model` answer `items`; return their `TRACES` rows, the highest try of each.

    Answers are kept beside the model's results, under a digest of model and sampling: what is
    interrupted resumes, and a student trained anew is asked anew.
    """
    assert config.evaluate is not None, "asked by the evaluation"
    sampling = config.evaluate.sampling.model_dump(mode="json")
    fingerprint = digest(identify(model).digest, sampling, EVALUATE.version)
    questions = Questions(
        name=name,
        model=model,
        items=items,
        workspace=storage.join(config.run, "evals", name, "answers", fingerprint[:12]),
        fingerprint=fingerprint,
    )
    run_to_end(_answer(config, options, questions))
    table = read_traces(questions.workspace)
    return table.filter(pc.field("item_id").isin([item.item_id for item in items]))


async def _answer(config: RunConfig, options: Options, questions: Questions) -> None:
    _plan(questions)
    leases = owed(questions.workspace)
    if not leases:
        return
    assert config.evaluate is not None, "asked by the evaluation"
    async with open_chats(config, {"student": questions.model}) as chats:
        work = Work(
            workspace=questions.workspace,
            chats=chats,
            recipes={EVALUATE.name: "train.evals.recipe.EVALUATE"},
            sampling=Sampling(**config.evaluate.sampling.model_dump()),
            teacher=chats["student"].model_id,
            fingerprint=questions.fingerprint,
            format_retries=0,
            pool_deadline_s=config.limits.pool_deadline_s,
            num_workers=num_workers(config, chats),
            storage=config.storage,
        )
        await work_through(config, work, leases, f"evaluate {questions.name}", options)


def _plan(questions: Questions) -> None:
    workspace = questions.workspace
    planned = planned_tries(workspace)
    fresh = [item for item in questions.items if item.item_id not in planned]
    if due := [*again(workspace, [Outcome.INTERRUPTED]), *fresh]:
        publish_round(workspace, num_rounds(workspace), due)
