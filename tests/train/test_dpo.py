"""DPO by itself, without Ray: on a random model of two layers, and once on a real one."""

import math
from pathlib import Path
from typing import Any

import pytest

from synth.errors import BadInput
from synth.models.embedded import embedded_model_folder
from synth.models.families import FAMILIES, STEP_TOKENS, family_of
from tests.train.curated import pair_row
from tests.train.jobs import job

pytestmark = pytest.mark.train

BEGUN = "The question is whether a knife is meant for the kitchen."
PAIRS = [
    pair_row("s1", "stair", " It is.", " It is not, and so I can not say.", begun=BEGUN),
    pair_row("s2", "stair", " Yes", " No", begun=BEGUN, chosen_ends=False),
    pair_row("s3", "stair", " Cut away from you.", " No.", begun=BEGUN * 2),
]


def whole_trajectory(pair: dict[str, Any]) -> dict[str, Any]:
    """Return the pair with the shared part of the answer on both sides."""
    *prompt, begun = pair["prompt"]
    sides = {
        side: [{"role": "assistant", "content": begun["content"] + pair[side][0]["content"]}]
        for side in ("chosen", "rejected")
    }
    return pair | sides | {"prompt": prompt}


def trainer(base: str, folder: Path, pairs: list[dict[str, Any]], **fields: Any) -> Any:
    # Heavy: torch and TRL.
    from train.encode import encode_pairs  # noqa: PLC0415
    from train.tokens import load_vocabulary  # noqa: PLC0415
    from train.trainers import build_dpo_trainer  # noqa: PLC0415

    own = job(base, folder, **fields)
    vocabulary = load_vocabulary(own.base, own.revision, own.special_tokens)
    examples = encode_pairs(pairs, vocabulary.tokenizer, family_of(base), 256).examples
    assert len(examples) == len(pairs)
    return build_dpo_trainer(own, vocabulary, examples, [], str(folder / "out"), [])


def move(model: Any, scale: float = 5.0) -> None:
    """Move a model away from where it starts, the same way each time."""
    import torch  # noqa: PLC0415

    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += scale * weight.std() * torch.randn_like(weight)


def loss(trainer: Any, pairs: list[dict[str, Any]] | None = None) -> float:
    """Return the loss over a trainer's own pairs, or over others."""
    import torch  # noqa: PLC0415

    from train.encode import encode_pairs  # noqa: PLC0415

    rows = list(trainer.train_dataset)
    if pairs is not None:
        family = FAMILIES["chatml"]
        rows = [e._asdict() for e in encode_pairs(pairs, trainer.processing_class, family, 256)[0]]
    batch = trainer.data_collator(rows)
    with torch.no_grad():
        return trainer.compute_loss(trainer.model, batch).item()


def losses_of_steps_and_trajectories(
    base: str, folder: Path, scale: float = 5.0
) -> tuple[float, float]:
    moved = trainer(base, folder, PAIRS)
    move(moved.model, scale)
    return loss(moved), loss(moved, [whole_trajectory(pair) for pair in PAIRS])


def test_step_level_loss_is_that_of_trajectories_with_a_common_prefix(
    base: str, tmp_path: Path
) -> None:
    step, whole = losses_of_steps_and_trajectories(base, tmp_path)
    assert abs(step - math.log(2)) > 1e-3
    assert step == pytest.approx(whole, abs=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_so_it_is_on_a_real_model(tmp_path: Path) -> None:
    step, whole = losses_of_steps_and_trajectories(str(embedded_model_folder()), tmp_path, 0.02)
    assert abs(step - math.log(2)) > 1e-3
    assert step == pytest.approx(whole, abs=1e-5)


def test_the_loss_is_the_published_one(base: str, tmp_path: Path) -> None:
    import torch  # noqa: PLC0415
    from torch.nn.functional import log_softmax, logsigmoid  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    start: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    moved = trainer(base, tmp_path, PAIRS, dpo={"beta": 0.3})
    move(moved.model)

    def log_prob(model: Any, prompt: list[int], side: list[int]) -> torch.Tensor:
        ids = torch.tensor([prompt + side])
        with torch.no_grad():
            rows = log_softmax(model(ids).logits[0, len(prompt) - 1 : -1], dim=-1)
        return rows.gather(1, torch.tensor(side)[:, None]).sum()

    terms = []
    for row in moved.train_dataset:
        sides = (row["chosen_ids"], row["rejected_ids"])
        chosen, rejected = (
            log_prob(moved.model, row["prompt_ids"], side)
            - log_prob(start, row["prompt_ids"], side)
            for side in sides
        )
        terms.append(-logsigmoid(0.3 * (chosen - rejected)))
    assert loss(moved) == pytest.approx(torch.stack(terms).mean().item(), abs=1e-5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_reference_is_the_start_and_stays_there(base: str, tmp_path: Path, method: str) -> None:
    found = trainer(base, tmp_path, PAIRS, method=method, dpo={"learning_rate": 1e-2, "epochs": 3})
    found.train()
    first, *_, last = [entry for entry in found.state.log_history if "loss" in entry]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert last["rewards/margins"] > 0.05
    assert last["rewards/accuracies"] == 1


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
@pytest.mark.parametrize("on_cpu", [True, False])
def test_tokens_may_be_added_under_adapters(base: str, tmp_path: Path, on_cpu: bool) -> None:
    from train import trainers  # noqa: PLC0415

    text = f"{STEP_TOKENS[0]}\nA knife.\n{STEP_TOKENS[1]}"
    pair = pair_row("s1", "stair", text, "A knife.")
    section = {"method": "lora", "dpo": {"learning_rate": 1e-2, "epochs": 3}}
    with pytest.MonkeyPatch.context() as patch:
        if not on_cpu:  # the way of GPUs works on a CPU too, slowly
            patch.setattr(trainers, "use_plain_head", lambda *_: None)
        found = trainer(base, tmp_path, [pair], special_tokens=STEP_TOKENS, **section)
        found.train()
    first, *_, last = [entry["loss"] for entry in found.state.log_history if "loss" in entry]
    assert first == pytest.approx(math.log(2), abs=1e-6)
    assert last < first
    rows = found.model.get_input_embeddings().token_adapter
    moved = rows.trainable_tokens_delta["default"] != rows.trainable_tokens_original["default"]
    assert moved.any(dim=1).all()


def test_the_plain_head_answers_as_trls_own(base: str, tmp_path: Path) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415
    from trl.trainer.utils import add_fused_lm_head  # noqa: PLC0415

    from train.trainers import use_plain_head  # noqa: PLC0415

    names = ("log_probs", "entropy", "mean_logits", "is_top1")
    ids = torch.randint(0, 49_000, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    labels = ids.masked_fill(
        torch.tensor([[1] * 4 + [0] * 5, [1] * 3 + [0] * 4 + [1] * 2]) > 0, -100
    )
    answers = []
    for plain in (False, True):
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        add_fused_lm_head(model, outputs=names)
        if plain:
            use_plain_head(model, torch.no_grad)
        answers.append(model(ids, attention_mask=mask, labels=labels, fused_lm_head=True))
    for name in names:
        theirs, ours = (getattr(answer, name).float() for answer in answers)
        assert torch.allclose(theirs, ours, atol=1e-5), name


def test_a_reference_of_another_vocabulary_is_refused(base: str, tmp_path: Path) -> None:
    section = {"dpo": {"reference": base}}
    with pytest.raises(BadInput, match="has another vocabulary") as error:
        trainer(base, tmp_path, PAIRS, special_tokens=STEP_TOKENS, **section)
    assert error.value.field == "finetune.dpo.reference"


def test_a_reference_may_be_another_model_than_the_start(base: str, tmp_path: Path) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    other: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    move(other)
    other.save_pretrained(tmp_path / "other")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(tmp_path / "other")
    section = {"dpo": {"reference": str(tmp_path / "other")}}
    held = trainer(base, tmp_path, PAIRS, **section)
    assert abs(loss(held) - math.log(2)) > 1e-3
    move(held.model)
    assert loss(held) == pytest.approx(math.log(2), abs=1e-5)
