"""A language model's head as TRL's trainers call it.

TRL's fused head never holds the logits of all positions, which saves a GPU's memory. On a CPU
it goes over every position's vocabulary several times in float32, most of a step.

This leaf imports torch, peft and TRL.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import MethodType
from typing import Any

import torch
from accelerate.utils import is_peft_model
from peft.utils.other import TrainableTokensWrapper
from trl.trainer.utils import FusedCausalLMOutput

from train.encode import IGNORED


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
