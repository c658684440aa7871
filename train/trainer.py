"""TRL's trainer as we set it up: what differs from its defaults, and why.

This leaf imports torch, transformers and TRL.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig as Adapters
from peft import TaskType
from transformers import AutoModelForCausalLM, PreTrainedModel, Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from train.config import FinetuneConfig
from train.encode import Example
from train.order import order_rows

LOG_SHARE = 0.005  # of all steps between two points of the loss curve: 200 points at most


class Student(SFTTrainer):
    """`SFTTrainer` with an order that survives a resume, and a loss that suits CPUs."""

    def _get_train_sampler(self, train_dataset: Any = None) -> "Order":
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in rows["input_ids"]]
        return Order(lengths, self.args.train_batch_size, self.args.seed)

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


def load_base(path: str, revision: str | None, config: FinetuneConfig) -> PreTrainedModel:
    """Load the model to start from.

    Weights that are trained are kept in float32: at the learning rates of fine-tuning, most
    updates of a bfloat16 weight are smaller than its last digit and would be lost.
    """
    frozen = config.method == "lora" and config.dtype == "bfloat16"
    return AutoModelForCausalLM.from_pretrained(
        path,
        revision=revision,
        dtype=torch.bfloat16 if frozen else torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
    )


def build_trainer(
    model: PreTrainedModel,
    tokenizer: Any,
    config: FinetuneConfig,
    train: Sequence[Example],
    heldout: Sequence[Example],
    output: str,
    callbacks: Sequence[TrainerCallback],
) -> SFTTrainer:
    """Return a trainer on encoded rows; its checkpoints go under the folder `output`."""
    return Student(
        model=model,
        args=_arguments(config, output, evaluates=bool(heldout)),
        train_dataset=_dataset(train),
        eval_dataset=_dataset(heldout) if heldout else None,
        processing_class=tokenizer,
        peft_config=_adapters(config) if config.method == "lora" else None,
        callbacks=list(callbacks),
    )


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


def _dataset(examples: Sequence[Example]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [example.input_ids for example in examples],
            "labels": [example.labels for example in examples],
        }
    )


def _adapters(config: FinetuneConfig) -> Adapters:
    lora = config.lora
    names = lora.target_modules
    return Adapters(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names if isinstance(names, str) else list(names),
        task_type=TaskType.CAUSAL_LM,
    )


def _arguments(config: FinetuneConfig, output: str, *, evaluates: bool) -> SFTConfig:
    return SFTConfig(
        output_dir=output,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type=config.schedule,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        gradient_checkpointing=config.gradient_checkpointing,
        max_length=config.max_length,
        packing=config.packing,
        # Rows come encoded and within max_length; only packing is left to do.
        dataset_kwargs={"skip_prepare_dataset": not config.packing},
        bf16=config.dtype == "bfloat16",
        use_cpu=not config.on_gpu,
        optim="adamw_torch_fused",
        dataloader_pin_memory=config.on_gpu,
        eval_strategy="epoch" if evaluates else "no",
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_strategy="steps",
        logging_steps=LOG_SHARE,
        include_num_input_tokens_seen="non_padding",
        seed=config.seed,
        report_to="none",
        disable_tqdm=True,
    )
