"""What every worker of a training runs, from the shards to the finished model.

This leaf imports torch, transformers, TRL and Ray Train.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ray.train import Checkpoint, get_checkpoint, get_context, report
from transformers import AutoConfig, Trainer, TrainerCallback, set_seed

from synth import storage
from synth.errors import BadInput
from train.config import TrainKind
from train.encode import Loaded, TrainingJob, load_pairs, load_rows
from train.tokens import load_vocabulary
from train.trainers import build_dpo_trainer, build_reward_trainer, build_trainer

# Of each point of a curve, beside its loss, where the kind of training has it: the share of
# pairs whose preferred side is ahead, and by how much; the implicit rewards of either side.
_METRICS = {
    "accuracy": "accuracy",
    "margin": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
}

MODEL, SUMMARY = "model", "summary.json"


def curves(history: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the points of the loss on training rows, and of the one on held-out rows."""
    losses, evaluations = [], []
    for entry in history:
        if "loss" in entry:
            speed = {"tokens_per_s": entry["train_tokens_per_second"]}
            losses.append(_point(entry, "") | speed)
        if "eval_loss" in entry:
            evaluations.append(_point(entry, "eval_"))
    return {"loss": losses, "eval_loss": evaluations}


def _point(entry: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    metrics = {
        prefix + name: entry[prefix + key]
        for key, name in _METRICS.items()
        if prefix + key in entry
    }
    return {"step": entry["step"], f"{prefix}loss": entry[f"{prefix}loss"], **metrics}


class _Method(NamedTuple):
    """How a kind of training gets its data and its trainer."""

    load: Callable[..., Loaded[Any]]
    build: Callable[..., Trainer]


_METHODS: Mapping[TrainKind, _Method] = {
    "sft": _Method(load_rows, build_trainer),
    "dpo": _Method(load_pairs, build_dpo_trainer),
    "reward": _Method(load_pairs, build_reward_trainer),
}


def train_loop(settings: dict[str, Any]) -> BadInput | None:
    """Train, save checkpoints on the way, and report the finished model as the last of them.

    The last checkpoint holds a folder `MODEL` and a file `SUMMARY`. A worker goes on from the
    newest checkpoint of its Ray Train run, whichever worker group or driver wrote it.

    Args:
        settings: `job`: a `TrainingJob`.

    Returns:
        What is wrong with the input, if anything. It is returned, not raised, because Ray
        Train would only start workers again to meet the same.
    """
    job: TrainingJob = settings["job"]
    storage.use(job.storage)
    try:
        with ExitStack() as stack:
            _train(replace(job, base=storage.local_copy(job.base)), stack)
    except BadInput as error:
        return error
    return None


def _train(job: TrainingJob, stack: ExitStack) -> None:
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


def _prepare(job: TrainingJob, output: Path) -> tuple[Trainer, dict[str, Any]]:
    """Return the trainer of a job, and what the manifest says of its data."""
    set_seed(job.config.seed)
    vocabulary = load_vocabulary(job.base, job.revision, job.special_tokens)
    load, build = _METHODS[job.kind]
    train, heldout = (load(job, vocabulary.tokenizer, split) for split in ("train", "heldout"))
    if not train.examples:
        raise _nothing_to_train_on(job, train.left_out)
    trainer = build(job, vocabulary, train.examples, heldout.examples, str(output), [Report()])
    return trainer, {
        "kind": job.kind,
        "special_tokens": list(job.special_tokens),
        "rows": len(train.examples),
        "heldout_rows": len(heldout.examples),
        "left_out": sum(train.left_out.values()),
        "left_out_by_reason": train.left_out,
        "heldout_left_out_by_reason": heldout.left_out,
    }


def _nothing_to_train_on(job: TrainingJob, left_out: Mapping[str, int]) -> BadInput:
    if not left_out:
        return BadInput(
            file=job.curated,
            field="shards",
            value=job.training or job.arm,
            rule=f"the curated data have nothing to train arm {job.arm} on",
        )
    return BadInput(
        file=job.curated,
        field="finetune.max_length",
        value=job.config.max_length,
        rule=f"leaves nothing of arm {job.arm} to train on: {left_out}",
    )


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


def _save(trainer: Trainer, job: TrainingJob, folder: Path) -> None:
    """Write a complete model folder, in the number format of the base model."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if job.config.method == "lora":
        model = model.merge_and_unload()
    base = AutoConfig.from_pretrained(job.base, revision=job.revision)
    model.to(base.dtype or torch.float32).save_pretrained(folder)
    processing: Any = trainer.processing_class
    processing.save_pretrained(folder)


def _outcome(trainer: Trainer) -> dict[str, Any]:
    """Return what the manifest says of the training itself."""
    found = curves(trainer.state.log_history)
    return {
        "steps": trainer.state.global_step,
        "tokens": trainer.state.num_input_tokens_seen,
        "tokens_per_s": found["loss"][-1]["tokens_per_s"],
        **found,
    }
