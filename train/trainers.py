"""TRL's trainers for rows, pairs and reward models: where they differ from its defaults, and why.

*The head.* TRL's fused head never holds the logits of all positions, which saves a GPU's memory. On
a CPU it goes over every position's vocabulary several times in float32, most of a step.

*Pairs.* A pair whose prompt ends within the assistant's turn is a step-level pair; there is nothing
else to step-level DPO (see `DpoConfig`).

*Reward models.* The model is the start model with a linear head of one number in place of its
vocabulary, trained by the pairwise logistic loss. The score of a text is that number at the text's
last token, which is a process reward where the text ends after a step. No token for the turn's end
comes after it, as none does where an engine is asked for a score; so the last token is never the
one that texts are padded with. The folder the model is saved in says to engines: one label, and
`problem_type` `regression`, so that the number comes out as it is.

A leaf: imports torch, transformers, peft and TRL.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import replace
from types import MethodType
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from peft import LoraConfig as Adapters
from peft import TaskType
from peft.utils.other import TrainableTokensWrapper
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, RewardTrainer, SFTConfig, SFTTrainer
from trl import RewardConfig as RewardArguments
from trl.trainer.reward_trainer import suppress_seqcls_warning
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import FusedCausalLMOutput

from synth import storage
from synth.errors import BadInput
from train.config import DpoConfig, FinetuneConfig, RewardConfig
from train.encode import IGNORED, Example, PairExample, TrainingJob, order_rows
from train.tokens import Vocabulary, check_same_vocabulary, embedding_layers, fit_embeddings

LOG_SHARE = 0.005  # of all steps between two points of the loss curve: 200 points at most


class Order(torch.utils.data.Sampler[int]):
    """`order_rows` as a sampler; the trainer tells it the epoch."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass is of."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(order_rows(self.lengths, self.batch_size, self.seed, self.epoch))


def order_of(rows: Any, args: Any) -> Order:
    """Return the order of encoded rows; a row is as long as all its token ids together."""
    columns = [rows[name] for name in rows.column_names if name.endswith("_ids")]
    lengths = [sum(map(len, ids)) for ids in zip(*columns, strict=True)]
    return Order(lengths, args.train_batch_size, args.seed)


def load_base(job: TrainingJob, vocabulary: Vocabulary, auto: Any = AutoModelForCausalLM) -> Any:
    """Load the model to start from, with an embedding for each token of the vocabulary.

    Weights that are trained are kept in float32: at the learning rates of fine-tuning, most
    updates of a bfloat16 weight are smaller than its last digit and would be lost.

    Args:
        job: The training.
        vocabulary: The student's.
        auto: Class of transformers that knows the kind of model.
    """
    frozen = job.config.method == "lora" and job.config.dtype == "bfloat16"
    options = {"num_labels": 1} if auto is not AutoModelForCausalLM else {}
    model = auto.from_pretrained(
        job.base,
        revision=job.revision,
        dtype=torch.bfloat16 if frozen else torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        **options,
    )
    fit_embeddings(model, vocabulary, job.base)
    return model


def adapters(
    config: FinetuneConfig, model: PreTrainedModel, vocabulary: Vocabulary, task: TaskType
) -> Adapters | None:
    """Return the adapters that are trained, or None where all weights are.

    Embeddings have none: of them, the rows of added tokens are trained as they are.
    """
    if config.method == "full":
        return None
    lora = config.lora
    names = lora.target_modules
    rows = {name: list(vocabulary.added) for name in _names(model, embedding_layers(model))}
    return Adapters(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names if isinstance(names, str) else list(names),
        trainable_token_indices=rows if vocabulary.added else None,
        task_type=task,
    )


def common_arguments(
    config: FinetuneConfig,
    section: FinetuneConfig | DpoConfig | RewardConfig,
    output: str,
    *,
    evaluates: bool,
) -> dict[str, Any]:
    """Return the arguments that hold whatever is trained; checkpoints go under `output`.

    Args:
        config: How to train.
        section: The part of it that says how often and how fast.
        output: Where checkpoints go.
        evaluates: Whether there are rows that are kept out of training.
    """
    return {
        "output_dir": output,
        "num_train_epochs": section.epochs,
        "learning_rate": section.learning_rate,
        "warmup_steps": config.warmup_ratio,
        "lr_scheduler_type": config.schedule,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": config.dtype == "bfloat16",
        "use_cpu": not config.on_gpu,
        "optim": "adamw_torch_fused",
        "dataloader_pin_memory": config.on_gpu,
        "eval_strategy": "epoch" if evaluates else "no",
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": 1,
        "logging_strategy": "steps",
        "logging_steps": LOG_SHARE,
        "include_num_input_tokens_seen": "non_padding",
        "seed": config.seed,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _names(model: PreTrainedModel, layers: Sequence[Any]) -> list[str]:
    """Return the layers' own names, the last part of their paths."""
    paths = [path for path, module in model.named_modules() if any(module is x for x in layers)]
    return [path.rpartition(".")[2] for path in paths]


def use_plain_head(model: Any, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
    """Make a causal language model answer TRL's calls by its own logits.

    They are computed where any row of a batch has a label, so not of shared prompts.

    Args:
        model: Already given TRL's head, which this replaces; with adapters or without.
        autocast: The trainer's number formats; a frozen model has no others.
    """

    def forward(
        self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any
    ) -> Any:
        own = type(self).forward
        if not fused_lm_head:
            return own(self, *args, labels=labels, **kwargs)
        mask = labels[:, 1:] != IGNORED
        kept = mask.any(dim=0).nonzero().squeeze(1)
        with autocast():
            logits = own(self, *args, logits_to_keep=kept, **kwargs).logits.float()
        return _per_token(logits, labels[:, 1:], mask, kept)

    model = model.get_base_model() if is_peft_model(model) else model
    model.forward = MethodType(forward, model)


def show_bias(model: Any) -> None:
    """Let TRL's fused head ask a head with trained rows for its bias.

    The fused head reads weight and bias; peft's wrapper around such a head passes on the weight
    alone.
    """
    head = model.get_output_embeddings()
    if isinstance(head, TrainableTokensWrapper):
        head.bias = head.original_module.bias


def _per_token(
    logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, kept: torch.Tensor
) -> FusedCausalLMOutput:
    """Return what the fused head would; zero where there is no label."""
    targets = labels[:, kept].clamp(min=0)[..., None]
    picked = logits.gather(-1, targets).squeeze(-1)
    log_z = logits.logsumexp(dim=-1)
    log_probs = picked - log_z
    with torch.no_grad():
        seen = logits.detach()
        probs = (seen - log_z[..., None]).exp_()
        entropy = log_z - (probs.mul_(seen)).sum(dim=-1)
        mean_logits = seen.mean(dim=-1)
        is_top1 = picked >= seen.amax(dim=-1)

    def spread(values: torch.Tensor) -> torch.Tensor:
        empty = values.new_zeros(mask.shape)
        return empty.index_copy(1, kept, values).masked_fill(~mask, 0)

    return FusedCausalLMOutput(
        log_probs=spread(log_probs),
        entropy=spread(entropy),
        mean_logits=spread(mean_logits),
        is_top1=spread(is_top1.to(torch.uint8)).bool(),
        label_mask=mask,
    )


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
    job: TrainingJob,
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
    job: TrainingJob,
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


def _reference(job: TrainingJob, vocabulary: Vocabulary, model: Any) -> Any:
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


class ScoreTrainer(RewardTrainer):
    """`RewardTrainer` with an order that survives a resume."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return order_of(self.train_dataset if train_dataset is None else train_dataset, self.args)


def build_reward_trainer(
    job: TrainingJob,
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


def _load(job: TrainingJob, vocabulary: Vocabulary) -> Any:
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
