"""A student's vocabulary: its tokenizer, and tokens that a recipe adds to it.

Added tokens are single ids in any text, and are not flagged special: engines and decoders that
leave special tokens out of a text leave these in. An added token's embeddings start as the mean
of those of the pieces its text had been made of (ours): the model begins by reading and writing
it as much as it did before.

This leaf imports torch and transformers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from transformers import AddedToken, AutoTokenizer, PreTrainedModel

from synth.errors import BadInput
from synth.workspace.stage import read_manifest


class Vocabulary(NamedTuple):
    """A student's vocabulary.

    Attributes:
        tokenizer: With the added tokens.
        added: The id of each token that the model has not had before, and the ids of the
            pieces of its text.
    """

    tokenizer: Any
    added: dict[int, list[int]]


def load_vocabulary(base: str, revision: str | None, special_tokens: Sequence[str]) -> Vocabulary:
    """Load a model's tokenizer and add tokens to it.

    Args:
        base: Folder or hub name of the model.
        revision: Commit of a hub model.
        special_tokens: The tokens.

    Raises:
        BadInput: The tokenizer has no chat template, or has a token already that is to be added.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(base, revision=revision)
    if not tokenizer.chat_template:
        raise BadInput(
            file=base,
            field="chat_template",
            value=None,
            rule="a student needs a chat template; take an instruct model, or give this one's "
            "tokenizer a template",
        )
    return Vocabulary(tokenizer, add_tokens(tokenizer, special_tokens, base))


def add_tokens(tokenizer: Any, tokens: Sequence[str], base: str) -> dict[int, list[int]]:
    """Add tokens, and return each one's id and the pieces of its text.

    Nothing is added where the model is a student of ours, trained with these tokens before.

    Raises:
        BadInput: The tokenizer of another model has one of them.
    """
    vocabulary = tokenizer.get_vocab()
    existing = [token for token in tokens if token in vocabulary]
    if existing and set(tokens) <= _tokens_of_student(base):
        return {}
    if existing:
        raise BadInput(
            file=base,
            field="special_tokens",
            value=existing[0],
            rule="is in this model's vocabulary already, with a meaning of its own; start from a "
            "model without it, or from a student that this recipe has trained",
        )
    pieces = [tokenizer.encode(token, add_special_tokens=False) for token in tokens]
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])
    return dict(zip(tokenizer.convert_tokens_to_ids(list(tokens)), pieces, strict=True))


def fit_embeddings(model: PreTrainedModel, vocabulary: Vocabulary, base: str) -> None:
    """Give a model embeddings for a vocabulary's added tokens.

    Raises:
        BadInput: The tokenizer had ids before that the model has no embeddings for.
    """
    tokenizer, added = vocabulary
    embeddings: Any = model.get_input_embeddings()
    num_rows, needed = len(embeddings.weight), 1 + max(tokenizer.get_vocab().values())
    own = needed - len(added)
    if own > num_rows:
        raise BadInput(
            file=base,
            field="vocabulary",
            value=own,
            rule=f"its tokenizer has more ids than the model has embeddings, {num_rows}",
        )
    if needed > num_rows:
        model.resize_token_embeddings(needed, mean_resizing=False)
    for layer in embedding_layers(model):
        _start_from_pieces(layer.weight, added)


def embedding_layers(model: PreTrainedModel) -> list[Any]:
    """Return the layers with a row a token: of the input and, in a language model, the output."""
    layers: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [layer for layer in layers if layer is not None]


def check_same_vocabulary(tokenizer: Any, reference: str) -> None:
    """Refuse a reference model whose ids mean something else than the student's.

    Raises:
        BadInput: They do.
    """
    other: Any = AutoTokenizer.from_pretrained(reference)
    if other.get_vocab() != tokenizer.get_vocab():
        raise BadInput(
            file="config",
            field="finetune.dpo.reference",
            value=reference,
            rule="has another vocabulary than the student: its probabilities are of other texts",
        )


def _start_from_pieces(weight: torch.Tensor, added: Mapping[int, Sequence[int]]) -> None:
    with torch.no_grad():
        for token, pieces in added.items():
            weight[token] = weight[list(pieces)].mean(dim=0)


def _tokens_of_student(folder: str) -> set[str]:
    """Return the tokens that a student was trained with; none for any other model."""
    return set((read_manifest(folder) or {}).get("special_tokens", ()))
