"""From rows of conversations to token ids, with the loss on completions alone.

A row's sequence is exactly what sampling sees and writes: the prompt as the chat template
renders it, with control tokens inside a text encoded as plain text, then the completion, then
the token that ends the family's turn. That last token is inside the loss, or the student would
never learn to stop.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from synth.errors import Invalid
from synth.families import Family, encode_chat

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


class Encoded(NamedTuple):
    """Encoded rows, and what could not be.

    Attributes:
        examples: In the rows' order.
        left_out: How many rows were left out, by reason.
        seeds_left_out: The seeds of those rows.
    """

    examples: list[Example]
    left_out: dict[str, int]
    seeds_left_out: set[str]


def encode_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, family: Family, max_length: int
) -> Encoded:
    """Encode rows of `row_id`, `seed_id`, `prompt` and `completion`.

    A row is left out as `too_long`, as `invalid` (the template refuses it), or as `unaligned`
    (its prompt's tokens are not those that the model would be given when it is asked).
    """
    end = end_of_turn(tokenizer, family)
    examples: list[Example] = []
    left_out: Counter[str] = Counter()
    seeds: set[str] = set()
    for row in rows:
        found = _encode(row, tokenizer, end, max_length)
        if isinstance(found, Example):
            examples.append(found)
        else:
            left_out[found] += 1
            seeds.add(row["seed_id"])
    return Encoded(examples, dict(left_out), seeds)


def end_of_turn(tokenizer: Any, family: Family) -> int:
    """Return the id of the token that ends an assistant's turn."""
    token = family.end_of_turn or tokenizer.eos_token
    return tokenizer.convert_tokens_to_ids(token)


def _encode(row: Mapping[str, Any], tokenizer: Any, end: int, max_length: int) -> Example | str:
    try:
        prompt = encode_chat(tokenizer, row["prompt"], continue_final=False)
        whole = encode_chat(tokenizer, [*row["prompt"], *row["completion"]], continue_final=True)
    except Invalid:
        return "invalid"
    if whole[: len(prompt)] != prompt:
        return "unaligned"
    if len(whole) >= max_length:
        return "too_long"
    ids = [*whole, end]
    labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
    return Example(row["row_id"], row["seed_id"], ids, labels)
