"""Tokens added to a student's vocabulary, and their embeddings."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from synth.errors import BadInput
from synth.models.families import STEP_TOKENS
from tests.train.jobs import job

pytestmark = pytest.mark.train


def loaded(base: str, tokens: Sequence[str] = STEP_TOKENS, **fields: Any) -> Any:
    # Heavy: torch.
    from train.tokens import load_vocabulary  # noqa: PLC0415
    from train.trainers import load_base  # noqa: PLC0415

    own = job(base, Path(), special_tokens=tuple(tokens), **fields)
    vocabulary = load_vocabulary(own.base, own.revision, own.special_tokens)
    return vocabulary, load_base(own, vocabulary)


def test_an_added_token_is_one_id_and_starts_as_the_mean_of_its_pieces(base: str) -> None:
    import torch  # noqa: PLC0415

    (tokenizer, added), model = loaded(base)
    _, before = loaded(base, tokens=())
    old, new = (m.get_input_embeddings().weight for m in (before, model))
    assert len(added) == len(STEP_TOKENS)
    assert len(new) == len(old) + len(added) == model.config.vocab_size
    assert torch.equal(new[: len(old)], old)
    for token, (index, pieces) in zip(STEP_TOKENS, added.items(), strict=True):
        assert tokenizer.encode(f"a{token}b", add_special_tokens=False)[1] == index
        assert tokenizer.decode([index], skip_special_tokens=True) == token
        assert tokenizer.decode(pieces) == token
        assert torch.allclose(new[index], old[pieces].mean(dim=0))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_a_vocabulary_that_has_room_is_not_made_larger(base: str, tmp_path: Path) -> None:
    (tokenizer, _), model = loaded(base, tokens=())
    model.resize_token_embeddings(50_000)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (_, added), padded = loaded(str(tmp_path))
    assert padded.config.vocab_size == 50_000 > max(added)


def test_a_token_that_the_base_has_is_refused(base: str) -> None:
    for token in ("<|im_end|>", "the"):
        with pytest.raises(BadInput, match="in this model's vocabulary already") as error:
            loaded(base, tokens=(STEP_TOKENS[0], token))
        assert error.value.value == token


def test_a_student_trained_with_the_tokens_goes_on_with_them(base: str, tmp_path: Path) -> None:
    (tokenizer, _), model = loaded(base)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="already"):
        loaded(str(tmp_path))  # somebody else's
    manifest = {"special_tokens": STEP_TOKENS}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (_, added), again = loaded(str(tmp_path))
    assert not added
    assert again.config.vocab_size == model.config.vocab_size


def test_a_student_without_a_chat_template_is_refused(base: str, tmp_path: Path) -> None:
    (tokenizer, _), model = loaded(base, tokens=())
    tokenizer.chat_template = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="chat template") as error:
        loaded(str(tmp_path))
    assert error.value.file == str(tmp_path)


def test_a_tokenizer_that_outgrew_its_model_is_refused(base: str, tmp_path: Path) -> None:
    (tokenizer, _), _ = loaded(base)
    _, model = loaded(base, tokens=())
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="more ids than the model has embeddings"):
        loaded(str(tmp_path), tokens=())


def test_under_adapters_only_the_added_rows_are_trained(base: str) -> None:
    from peft import TaskType, get_peft_model  # noqa: PLC0415

    from train.trainers import adapters  # noqa: PLC0415

    vocabulary, model = loaded(base, method="lora")
    config = job(base, Path(), method="lora").config
    found = adapters(config, model, vocabulary, TaskType.CAUSAL_LM)
    assert found is not None
    student = get_peft_model(model, found)
    rows = {
        tuple(weight.shape)
        for name, weight in student.named_parameters()
        if weight.requires_grad and "trainable_tokens" in name
    }
    assert rows == {(len(STEP_TOKENS), model.config.hidden_size)}
    embeddings = [w for n, w in student.named_parameters() if n.endswith("base_layer.weight")]
    assert not any(weight.requires_grad for weight in embeddings)
