"""From rows of conversations to token ids, with the loss on completions alone.

A row's sequence is exactly what sampling sees and writes: the prompt as the chat template
renders it, with control tokens inside a text encoded as plain text, then the completion, then
the token that ends the family's turn. That last token is inside the loss, or the student would
never learn to stop. A pair is two such completions of one prompt, which may itself end within
the assistant's turn; a side that does not end its turn gets no such token.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from synth.errors import Invalid
from synth.models.families import Family
from synth.models.rendering import encode_chat
from synth.records import Message

IGNORED = -100  # the label of a token outside the loss, torch's own convention


class Example(NamedTuple):
    """One encoded row.

    Attributes:
        row_id: The row it was made from.
        seed_id: The row's seed.
        input_ids: The whole sequence.
        labels: The same ids where the loss counts, `IGNORED` elsewhere.
    """

    row_id: str
    seed_id: str
    input_ids: list[int]
    labels: list[int]


class PairExample(NamedTuple):
    """One encoded pair.

    Attributes:
        row_id: The pair it was made from.
        seed_id: The seed of both sides.
        prompt_ids: What both go on from.
        chosen_ids: The preferred continuation.
        rejected_ids: The other one.
    """

    row_id: str
    seed_id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


AnyExample = TypeVar("AnyExample", Example, PairExample)


class Encoded(NamedTuple, Generic[AnyExample]):
    """Encoded rows, and what could not be.

    Attributes:
        examples: In the rows' order.
        left_out: How many rows were left out, by reason.
        seeds_left_out: The seeds of those rows.
    """

    examples: list[AnyExample]
    left_out: dict[str, int]
    seeds_left_out: set[str]


def encode_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded[Example]:
    """Encode rows of `row_id`, `seed_id`, `prompt` and `completion`.

    A row is left out as `too_long`, as `invalid` (the template refuses it), or as `unaligned`
    (its prompt's tokens are not those that the model would be given when it is asked).
    """
    end = end_of_turn(tokenizer, family)
    return _collect(rows, lambda row: _encode_row(row, tokenizer, end, max_length))


def encode_pairs(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded[PairExample]:
    """Encode pairs: rows of the schema `PREFERENCE`.

    A pair is left out as a row is, whole, if either side would have to be, and as `no_contrast`
    where both sides are the same tokens.
    """
    end = end_of_turn(tokenizer, family)
    return _collect(rows, lambda row: _encode_pair(row, tokenizer, end, max_length))


def end_of_turn(tokenizer: Any, family: Family) -> int:
    """Return the id of the token that ends an assistant's turn."""
    token = family.end_of_turn or tokenizer.eos_token
    return tokenizer.convert_tokens_to_ids(token)


class _LeftOut(Exception):
    """A row can not be encoded; its text is the reason."""


def _collect(
    rows: Iterable[Mapping[str, Any]], encode: Callable[[Mapping[str, Any]], AnyExample]
) -> Encoded[AnyExample]:
    examples: list[AnyExample] = []
    left_out: Counter[str] = Counter()
    seeds: set[str] = set()
    for row in rows:
        try:
            examples.append(encode(row))
        except _LeftOut as reason:
            left_out[str(reason)] += 1
            seeds.add(row["seed_id"])
    return Encoded(examples, dict(left_out), seeds)


def _encode_row(row: Mapping[str, Any], tokenizer: Any, end: int, max_length: int) -> Example:
    prompt, completion = _split(row["prompt"], row["completion"], tokenizer)
    ids = [*prompt, *completion, end]
    if len(ids) > max_length:
        raise _LeftOut("too_long")
    labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
    return Example(row["row_id"], row["seed_id"], ids, labels)


def _encode_pair(row: Mapping[str, Any], tokenizer: Any, end: int, max_length: int) -> PairExample:
    prompt: list[int] = []
    sides: list[list[int]] = []
    for side in ("chosen", "rejected"):
        prompt, ids = _split(row["prompt"], row[side], tokenizer)
        sides.append([*ids, end] if row[f"{side}_ends"] else ids)
    chosen, rejected = sides
    if chosen == rejected:
        raise _LeftOut("no_contrast")
    if not (chosen and rejected):
        raise _LeftOut("invalid")
    if len(prompt) + max(map(len, sides)) > max_length:
        raise _LeftOut("too_long")
    return PairExample(row["row_id"], row["seed_id"], prompt, chosen, rejected)


def _split(
    prompt: Sequence[Message], completion: Sequence[Message], tokenizer: Any
) -> tuple[list[int], list[int]]:
    """Return the ids of a prompt, and those that a completion adds to them."""
    begun = prompt[-1]["role"] == "assistant"
    turns = [*prompt, *completion]
    if begun:
        text = "".join(turn["content"] for turn in turns[len(prompt) - 1 :])
        turns = [*prompt[:-1], Message(role="assistant", content=text)]
    try:
        ids = encode_chat(tokenizer, prompt, continue_final=begun)
        whole = encode_chat(tokenizer, turns, continue_final=True)
    except Invalid as error:
        raise _LeftOut("invalid") from error
    if whole[: len(ids)] != ids:
        raise _LeftOut("unaligned")
    return ids, whole[len(ids) :]
