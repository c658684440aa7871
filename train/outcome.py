"""What the manifest says of a training: its curves, out of a trainer's history."""

from collections.abc import Iterable, Mapping
from typing import Any

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
