"""Reward models: TRL's trainer on encoded pairs, by the pairwise logistic loss.

The model is the start model with a linear head of one number in place of its vocabulary. The
score of a text is that number at the text's last token, which is a process reward where the
text ends after a step. No token for the turn's end comes after it, as none does where an engine
is asked for a score; so the last token is never the one that texts are padded with. The folder
the model is saved in says to engines: one label, and `problem_type` `regression`, so that the
number comes out as it is.

This leaf imports torch, transformers and TRL.
"""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import TaskType
from transformers import AutoModelForSequenceClassification, TrainerCallback
from trl import RewardConfig as RewardArguments
from trl import RewardTrainer
from trl.trainer.reward_trainer import suppress_seqcls_warning

from train.encode import PairExample
from train.job import Job
from train.tokens import Vocabulary
from train.trainer import Order, adapters, common_arguments, load_base, order_of


class ScoreTrainer(RewardTrainer):
    """`RewardTrainer` with an order that survives a resume."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return order_of(self.train_dataset if train_dataset is None else train_dataset, self.args)


def build_reward_trainer(
    job: Job,
    vocabulary: Vocabulary,
    train: Sequence[PairExample],
    heldout: Sequence[PairExample],
    output: str,
    callbacks: Sequence[TrainerCallback],
) -> RewardTrainer:
    """Return a trainer on encoded pairs; its checkpoints go under the folder `output`."""
    config = job.config
    model = _load(job, vocabulary)
    common = common_arguments(config, config.reward, output, evaluates=bool(heldout))
    centre = config.reward.centre_coefficient
    return ScoreTrainer(
        model=model,
        args=RewardArguments(**common, max_length=None, center_rewards_coefficient=centre),
        train_dataset=_turns_dataset(train),
        eval_dataset=_turns_dataset(heldout) if heldout else None,
        processing_class=vocabulary.tokenizer,
        peft_config=adapters(config, model, vocabulary, TaskType.SEQ_CLS),
        callbacks=list(callbacks),
    )


def _load(job: Job, vocabulary: Vocabulary) -> Any:
    """Load the start model with a head drawn by the job's seed."""
    with suppress_seqcls_warning():
        model = load_base(job, vocabulary, AutoModelForSequenceClassification)
    model.score.to(torch.float32)  # trained whole, also under adapters
    model.config.problem_type = "regression"
    return model


def _turns_dataset(examples: Sequence[PairExample]) -> Dataset:
    return Dataset.from_dict(
        {
            "chosen_ids": [[*e.prompt_ids, *e.chosen_ids] for e in examples],
            "rejected_ids": [[*e.prompt_ids, *e.rejected_ids] for e in examples],
        }
    )
