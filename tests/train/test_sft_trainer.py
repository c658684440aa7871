"""The trainer by itself, without Ray, on a random model of two layers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.train.jobs import job
from train.encode import IGNORED, Example

pytestmark = pytest.mark.train

LENGTHS = (9, 31, 12, 30, 8, 29)


def examples() -> list[Example]:
    """Rows whose first five tokens are the prompt."""
    rows = []
    for index, length in enumerate(LENGTHS):
        ids = [100 + (index * 7 + position) % 900 for position in range(length)]
        rows.append(Example(f"r{index}", f"s{index}", ids, [IGNORED] * 5 + ids[5:]))
    return rows


def trainer(base: str, output: Path, **section: Any) -> Any:
    # Heavy: torch and TRL.
    from train.tokens import load_vocabulary  # noqa: PLC0415
    from train.trainers import build_trainer  # noqa: PLC0415

    own = job(base, output, "sft", **{"epochs": 1, "batch_size": 4, **section})
    return build_trainer(
        own,
        load_vocabulary(own.base, own.revision, own.special_tokens),
        examples(),
        [],
        str(output),
        [],
    )


def test_the_loss_is_the_mean_over_completion_tokens(base: str, tmp_path: Path) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    total = count = 0.0
    for row in examples():
        with torch.no_grad():
            logits = model(torch.tensor([row.input_ids])).logits[0, 4:-1]
        target = torch.tensor(row.input_ids[5:])
        total += torch.nn.functional.cross_entropy(logits, target, reduction="sum").item()
        count += len(target)
    trained = trainer(base, tmp_path, batch_size=3, gradient_accumulation=2, learning_rate=1e-9)
    trained.train()
    (point,) = [entry for entry in trained.state.log_history if "loss" in entry]
    assert point["loss"] == pytest.approx(total / count, rel=1e-4)
    assert trained.state.num_input_tokens_seen == sum(LENGTHS)


def test_packed_rows_train_in_fewer_steps_and_keep_apart(base: str, tmp_path: Path) -> None:
    from train.trainers import keeps_apart  # noqa: PLC0415

    packed = trainer(base, tmp_path, batch_size=1, packing=True, max_length=64)
    assert keeps_apart(packed.model)
    packed.train()
    assert packed.state.global_step == 2
    (point, *_) = [entry for entry in packed.state.log_history if "loss" in entry]
    assert 5 < point["loss"] < 15


def test_attention_over_a_whole_sequence_is_told_apart_from_packing() -> None:
    import torch  # noqa: PLC0415

    from train.trainers import keeps_apart  # noqa: PLC0415

    def leaky(input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=input_ids.cumsum(dim=1)[..., None].float())

    def blind(input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=input_ids[..., None].float())

    assert not keeps_apart(leaky)  # type: ignore[arg-type]
    assert keeps_apart(blind)  # type: ignore[arg-type]
