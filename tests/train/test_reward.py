"""Reward training by itself, without Ray, on a random model of two layers."""

from pathlib import Path
from typing import Any

import pytest

from tests.train.curated import pair_row, write_curated
from tests.train.jobs import job

pytestmark = pytest.mark.train

PAIRS = [
    pair_row("s1", "stair", "Cut away from you.", "Cut towards yourself, which is quicker."),
    pair_row("s2", "stair", "Yes", "No", chosen_ends=False, rejected_ends=False),
]


def trainer(base: str, folder: Path, **fields: Any) -> Any:
    # Heavy: torch and TRL.
    from transformers import set_seed  # noqa: PLC0415

    from train.encode import load_pairs  # noqa: PLC0415
    from train.tokens import load_vocabulary  # noqa: PLC0415
    from train.trainers import build_reward_trainer  # noqa: PLC0415

    own = job(base, write_curated(folder, [], pairs=PAIRS), "reward", **fields)
    vocabulary = load_vocabulary(own.base, own.revision, own.special_tokens)
    examples = load_pairs(own, vocabulary.tokenizer, "train").examples
    set_seed(own.config.seed)
    return build_reward_trainer(own, vocabulary, examples, [], str(folder / "out"), [])


def scores(model: Any, texts: list[list[int]]) -> Any:
    """Return each text's score, as an engine reads it: at the last token, without padding."""
    import torch  # noqa: PLC0415

    with torch.no_grad():
        states = [model.model(torch.tensor([ids])).last_hidden_state[0, -1] for ids in texts]
        return model.score(torch.stack(states)).squeeze(1)


@pytest.mark.parametrize("centre", [None, 0.5])
def test_the_loss_is_that_of_the_scores_at_the_last_tokens(
    base: str, tmp_path: Path, centre: float | None
) -> None:
    from torch.nn.functional import logsigmoid  # noqa: PLC0415

    found = trainer(base, tmp_path, reward={"centre_coefficient": centre})
    rows = list(found.train_dataset)
    chosen = scores(found.model, [row["chosen_ids"] for row in rows])
    rejected = scores(found.model, [row["rejected_ids"] for row in rows])
    expected = (
        -logsigmoid(chosen - rejected).mean() + (centre or 0) * ((chosen + rejected) ** 2).mean()
    )
    loss = found.compute_loss(found.model, found.data_collator(rows))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_text_is_scored_as_it_stands_without_the_end_of_its_turn(
    base: str, tmp_path: Path
) -> None:
    found = trainer(base, tmp_path)
    tokenizer = found.processing_class
    texts = [tokenizer.decode(row["chosen_ids"]) for row in found.train_dataset]
    assert [text.rpartition("assistant\n")[2] for text in texts] == ["Cut away from you.", "Yes"]
    # Elsewhere the padding of this tokenizer ends turns: it would hide the last token.
    assert tokenizer.pad_token == "<|im_end|>"
    assert found.model.config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_learns_to_score_the_preferred_side_higher(
    base: str, tmp_path: Path, method: str
) -> None:
    import torch  # noqa: PLC0415

    section = {
        "method": method,
        "dtype": "bfloat16",
        "reward": {"learning_rate": 1e-2, "epochs": 6},
    }
    found = trainer(base, tmp_path, **section)
    before = found.model.get_submodule("base_model.model.score" if method == "lora" else "score")
    before = {name: weight.clone() for name, weight in before.state_dict().items()}
    found.train()
    last = [entry for entry in found.state.log_history if "loss" in entry][-1]
    assert last["accuracy"] == 1
    assert last["margin"] > 0.5
    model = found.model.merge_and_unload() if method == "lora" else found.model
    assert not any(torch.equal(model.score.weight, weight) for weight in before.values())
    assert model.config.problem_type == "regression"
    assert model.config.num_labels == 1


def test_the_head_is_drawn_by_the_seed(base: str, tmp_path: Path) -> None:
    import torch  # noqa: PLC0415

    heads = [trainer(base, tmp_path, seed=seed).model.score.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
