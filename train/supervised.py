"""Supervised fine-tuning: TRL's trainer on encoded rows.

This leaf imports torch, transformers and TRL.
"""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import TaskType
from transformers import PreTrainedModel, Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from synth.errors import BadInput
from train.config import FinetuneConfig
from train.encode import Example
from train.head import show_bias
from train.job import Job
from train.tokens import Vocabulary
from train.trainer import Order, adapters, common_arguments, load_base, order_of


class Student(SFTTrainer):
    """`SFTTrainer` with an order that survives a resume, and a loss that suits CPUs."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return order_of(self.train_dataset if train_dataset is None else train_dataset, self.args)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the loss of a batch.

        On a CPU it is that of transformers: TRL's fused head goes over every position's
        vocabulary several times in float32 there, half the time of a step.
        """
        if self.args.device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs["use_cache"] = False
        return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)


def build_trainer(
    job: Job,
    vocabulary: Vocabulary,
    train: Sequence[Example],
    heldout: Sequence[Example],
    output: str,
    callbacks: Sequence[TrainerCallback],
) -> SFTTrainer:
    """Return a trainer on encoded rows; its checkpoints go under the folder `output`.

    Raises:
        BadInput: Rows are to be packed, and the model can not keep them apart.
    """
    config = job.config
    model = load_base(job, vocabulary)
    if config.packing and not keeps_apart(model):
        raise BadInput(
            file="config",
            field="finetune.packing",
            value=True,
            rule="with this model's attention packed rows see each other; train without it",
        )
    trainer = Student(
        model=model,
        args=_arguments(config, output, evaluates=bool(heldout)),
        train_dataset=_rows_dataset(train),
        eval_dataset=_rows_dataset(heldout) if heldout else None,
        processing_class=vocabulary.tokenizer,
        peft_config=adapters(config, model, vocabulary, TaskType.CAUSAL_LM),
        callbacks=list(callbacks),
    )
    show_bias(trainer.model)
    return trainer


def keeps_apart(model: PreTrainedModel) -> bool:
    """Say whether rows packed into one sequence are blind to each other in this model.

    Asked of the model itself: a row's logits must not move when its neighbour changes.
    """
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    row, *neighbours = ([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12])
    logits = []
    for neighbour in neighbours:
        packed = collate([{"input_ids": neighbour}, {"input_ids": row}])
        del packed["labels"]
        with torch.no_grad():
            logits.append(model(**packed, use_cache=False).logits[0, -len(row) :].float())
    return torch.allclose(*logits, atol=1e-4)


def _rows_dataset(examples: Sequence[Example]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [example.input_ids for example in examples],
            "labels": [example.labels for example in examples],
        }
    )


def _arguments(config: FinetuneConfig, output: str, *, evaluates: bool) -> SFTConfig:
    common = common_arguments(config, config, output, evaluates=evaluates)
    return SFTConfig(
        **common,
        max_length=config.max_length,
        packing=config.packing,
        # Rows come encoded and within max_length; only packing is left to do.
        dataset_kwargs={"skip_prepare_dataset": not config.packing},
    )
