"""Direct preference optimization: TRL's trainer on encoded pairs.

A pair whose prompt ends within the assistant's turn is a step-level pair; there is nothing else
to step-level DPO (see `DpoConfig`).

This leaf imports torch, transformers and TRL.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from datasets import Dataset
from peft import TaskType
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from synth import storage
from train.encode import PairExample
from train.head import show_bias, use_plain_head
from train.job import Job
from train.tokens import Vocabulary, check_same_vocabulary
from train.trainer import Order, adapters, common_arguments, load_base, order_of


class PreferenceTrainer(DPOTrainer):
    """`DPOTrainer` on encoded pairs, in an order that survives a resume, and fast on CPUs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        show_bias(self.model)
        if self.args.device.type == "cpu":
            for model in filter(None, (self.model, self.ref_model)):
                use_plain_head(model, self.accelerator.autocast)

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return order_of(self.train_dataset if train_dataset is None else train_dataset, self.args)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def build_dpo_trainer(
    job: Job,
    vocabulary: Vocabulary,
    train: Sequence[PairExample],
    heldout: Sequence[PairExample],
    output: str,
    callbacks: Sequence[TrainerCallback],
) -> DPOTrainer:
    """Return a trainer on encoded pairs; its checkpoints go under the folder `output`.

    Raises:
        BadInput: The reference model has another vocabulary.
    """
    config = job.config
    model = load_base(job, vocabulary)
    common = common_arguments(config, config.dpo, output, evaluates=bool(heldout))
    return PreferenceTrainer(
        model=model,
        ref_model=_reference(job, vocabulary, model),
        # Pairs come within max_length; what TRL would cut is left out whole.
        args=DPOConfig(**common, beta=config.dpo.beta, max_length=None),
        train_dataset=_pairs_dataset(train),
        eval_dataset=_pairs_dataset(heldout) if heldout else None,
        processing_class=vocabulary.tokenizer,
        peft_config=adapters(config, model, vocabulary, TaskType.CAUSAL_LM),
        callbacks=list(callbacks),
    )


def _reference(job: Job, vocabulary: Vocabulary, model: Any) -> Any:
    """Return the frozen model that the student is held to.

    It is None under LoRA: the start model is the student without its adapters.
    """
    if job.config.dpo.reference is not None:
        folder = storage.local_copy(job.config.dpo.reference)
        check_same_vocabulary(vocabulary.tokenizer, folder)
        return load_base(replace(job, base=folder, revision=None), Vocabulary(vocabulary[0], {}))
    return None if job.config.method == "lora" else deepcopy(model)


def _pairs_dataset(examples: Sequence[PairExample]) -> Dataset:
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_dict({name: [getattr(e, name) for e in examples] for name in names})
