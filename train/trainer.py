"""What the trainers of all kinds share: where TRL's differ from their defaults, and why.

This leaf imports torch, transformers and peft.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft import LoraConfig as Adapters
from peft import TaskType
from transformers import AutoModelForCausalLM, PreTrainedModel

from train.config import DpoConfig, FinetuneConfig, RewardConfig
from train.job import Job
from train.order import order_rows
from train.tokens import Vocabulary, embedding_layers, fit_embeddings

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


def load_base(job: Job, vocabulary: Vocabulary, auto: Any = AutoModelForCausalLM) -> Any:
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
