"""What every worker of a training runs, from the shards to the finished model.

This leaf imports torch, transformers, TRL and Ray Train.
"""

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ray.train import Checkpoint, get_checkpoint, get_context, report
from transformers import AutoConfig, AutoTokenizer, TrainerCallback, set_seed
from trl import SFTTrainer

from synth import storage
from synth.config import StorageConfig
from synth.errors import BadInput
from synth.families import family_of
from train.config import FinetuneConfig
from train.encode import Example, encode_rows
from train.shards import Split, choose_rows, read_split
from train.trainer import build_trainer, keeps_apart, load_base

MODEL, SUMMARY = "model", "summary.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One arm's training.

    Attributes:
        arm: The arm.
        arms: All arms, for the seeds they share.
        curated: Folder of the curation's manifest.
        base: Folder or hub name of the model to start from.
        revision: Commit of a hub model.
        family: Key of the model-family table, where it can not be told from the model.
        config: How it is trained.
        storage: How `s3://` is reached.
    """

    arm: str
    arms: tuple[str, ...]
    curated: str
    base: str
    revision: str | None
    family: str | None
    config: FinetuneConfig
    storage: StorageConfig = field(default_factory=StorageConfig)


def train_loop(settings: dict[str, Any]) -> BadInput | None:
    """Train, save checkpoints on the way, and report the finished model as the last of them.

    The last checkpoint holds a folder `MODEL` and a file `SUMMARY`. A worker goes on from the
    newest checkpoint of its Ray Train run, whichever worker group or driver wrote it.

    Args:
        settings: `job`: a `Job`.

    Returns:
        What is wrong with the input, if anything. It is returned, not raised, because Ray
        Train would only start workers again to meet the same.
    """
    job: Job = settings["job"]
    storage.use(job.storage)
    try:
        with ExitStack() as stack:
            _train(replace(job, base=storage.local_copy(job.base)), stack)
    except BadInput as error:
        return error
    return None


def _train(job: Job, stack: ExitStack) -> None:
    checkpoint = get_checkpoint()
    resumed = Path(stack.enter_context(checkpoint.as_directory())) if checkpoint else None
    if resumed is not None and (resumed / MODEL).is_dir():
        return  # trained to its end, by a driver that died before it could say so
    if not job.config.on_gpu:
        # Ray limits a worker's threads to its logical CPUs, which say nothing of its cores.
        cores = len(os.sched_getaffinity(0)) // get_context().get_local_world_size()
        torch.set_num_threads(max(1, cores))
    output, finished = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
    trainer, data = _prepare(job, output)
    trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    is_first = get_context().get_world_rank() == 0
    if is_first:
        _save(trainer, job, finished / MODEL)
        summary = data | _outcome(trainer)
        (finished / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")
    report({}, Checkpoint.from_directory(finished) if is_first else None)


def _prepare(job: Job, output: Path) -> tuple[SFTTrainer, dict[str, Any]]:
    """Return the trainer of a job, and what the manifest says of its data."""
    config = job.config
    set_seed(config.seed)
    tokenizer = AutoTokenizer.from_pretrained(job.base, revision=job.revision)
    train, heldout = (_load(job, tokenizer, split) for split in ("train", "heldout"))
    if not train.examples:
        raise BadInput(
            file=job.curated,
            field="finetune.max_length",
            value=config.max_length,
            rule=f"leaves no row of arm {job.arm} to train on: {train.left_out}",
        )
    model = load_base(job.base, job.revision, config)
    if config.packing and not keeps_apart(model):
        raise BadInput(
            file="config",
            field="finetune.packing",
            value=True,
            rule="with this model's attention packed rows see each other; train without it",
        )
    trainer = build_trainer(
        model, tokenizer, config, train.examples, heldout.examples, str(output), [Report()]
    )
    return trainer, {
        "rows": len(train.examples),
        "heldout_rows": len(heldout.examples),
        "left_out": sum(train.left_out.values()),
        "left_out_by_reason": train.left_out,
    }


class _Loaded(NamedTuple):
    """An arm's encoded rows, and how many were left out, by reason."""

    examples: list[Example]
    left_out: dict[str, int]


def _load(job: Job, tokenizer: Any, split: Split) -> _Loaded:
    """Read, choose and encode an arm's rows.

    Where arms share their seeds, a seed that any arm has to leave out is left out of all.
    """
    family = family_of(job.base, job.family)
    match, max_length = job.config.match, job.config.max_length
    chosen = choose_rows(read_split(job.curated, split), job.arms, match)
    encoded = {
        arm: encode_rows(rows.to_pylist(), tokenizer, family, max_length)
        for arm, rows in chosen.items()
        if arm == job.arm or match == "seeds"
    }
    lost = set().union(*(e.seeds_left_out for e in encoded.values())) if match else set()
    own = encoded[job.arm]
    examples = [example for example in own.examples if example.seed_id not in lost]
    left_out = dict(own.left_out)
    if len(examples) < len(own.examples):
        left_out["another_arm"] = len(own.examples) - len(examples)
    return _Loaded(examples, left_out)


class Report(TrainerCallback):
    """Hands the trainer's checkpoints to Ray Train, each straight from where it was saved."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save nothing after the last step: the finished model is saved there."""
        if state.global_step >= state.max_steps:
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report the checkpoint; every worker adds its own part, its random state."""
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        report({"step": state.global_step}, Checkpoint.from_directory(folder))


def _save(trainer: SFTTrainer, job: Job, folder: Path) -> None:
    """Write a complete model folder, in the number format of the base model."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if job.config.method == "lora":
        model = model.merge_and_unload()
    base = AutoConfig.from_pretrained(job.base, revision=job.revision)
    model.to(base.dtype or torch.float32).save_pretrained(folder)
    processing: Any = trainer.processing_class
    processing.save_pretrained(folder)


def _outcome(trainer: SFTTrainer) -> dict[str, Any]:
    """Return what the manifest says of the training itself."""
    history = trainer.state.log_history
    losses = [
        {
            "step": entry["step"],
            "loss": entry["loss"],
            "tokens_per_s": entry["train_tokens_per_second"],
        }
        for entry in history
        if "loss" in entry
    ]
    evaluations = [
        {"step": entry["step"], "eval_loss": entry["eval_loss"]}
        for entry in history
        if "eval_loss" in entry
    ]
    return {
        "steps": trainer.state.global_step,
        "tokens": trainer.state.num_input_tokens_seen,
        "tokens_per_s": losses[-1]["tokens_per_s"],
        "loss": losses,
        "eval_loss": evaluations,
    }
