"""From a conversation to token ids, by a model's chat template: no text can forge a turn.

Sampling, scoring and training encode alike: a student is trained on what it will be given.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from synth.errors import Invalid
from synth.models.families import STEP_TOKENS, THINK_CLOSE, THINK_OPEN
from synth.records import Message

ROLES = frozenset(("system", "user", "assistant", "tool"))


def generation_prompt(tokenizer: Any) -> str:
    """Return what the chat template writes after the user's turn for the model to go on from."""
    tail = _skeleton(tokenizer, ("user",)).parts[-1]
    return tail if isinstance(tail, str) else ""


def encode_chat(tokenizer: Any, messages: Sequence[Message], continue_final: bool) -> list[int]:
    """Render the model's chat template to token ids that no content can forge.

    The template is rendered once with a mark in each content's place, so that contents reach
    neither the template's own logic (which trims them or drops old thoughts in some families)
    nor its control tokens. Text without control tokens is encoded in one piece, exactly as the
    tokenizer encodes the rendered template. Where a content holds one (`<|im_end|>` typed by a
    user), the contents are encoded apart from the template and such strings as plain text; only
    then may tokens at a content's borders differ from those of the whole. The marks of steps,
    where the tokenizer has them, are control tokens in every content but an assistant's, which
    is made of them.

    Args:
        tokenizer: A Hugging Face tokenizer with a chat template.
        messages: The conversation.
        continue_final: Its last turn, an assistant's, is to be continued.

    Raises:
        Invalid: The template refuses these turns, or there is nothing to continue.
    """
    if continue_final and messages[-1]["role"] != "assistant":
        raise Invalid("only an assistant's turn can be continued")
    if any(message["role"] not in ROLES for message in messages):
        raise Invalid(f"the roles of a conversation are {', '.join(sorted(ROLES))}")
    turns = messages[:-1] if continue_final else messages
    skeleton = _skeleton(tokenizer, tuple(message["role"] for message in turns))
    contents = [message["content"] for message in messages]
    if continue_final:
        contents[-1] = _without_second_opening(skeleton.parts[-1], contents[-1])
    own = [m["role"] == "assistant" for m in messages]
    expected = skeleton.num_controls + _num_marks(contents, own, skeleton)
    pieces = list(_fill(skeleton.parts, contents, continue_final))
    ids = _encode(tokenizer, "".join(text for text, _ in pieces))
    if _num_controls(ids, skeleton) == expected:
        return ids
    ids = []
    for text, position in pieces:
        if position is None:
            ids += _encode(tokenizer, text)
        else:
            ids += _encode_plain(tokenizer, text, keep_marks=own[position])
    if _num_controls(ids, skeleton) != expected:
        raise Invalid("its text can not be kept apart from the model's control tokens")
    return ids


class _Skeleton(NamedTuple):
    """A rendered template: text and content positions in turn, and its control tokens.

    `marks` are those of steps that the tokenizer has; their ids are among `control_ids`.
    """

    parts: tuple[str | int, ...]
    control_ids: frozenset[int]
    num_controls: int
    marks: tuple[str, ...]


@lru_cache(maxsize=256)
def _skeleton(tokenizer: Any, roles: tuple[str, ...]) -> _Skeleton:
    """Render the template for turns of these roles, generation prompt and all."""
    # Private-use characters: no template holds them, and trimming leaves them alone.
    marks = [f"\ue000{position}\ue001" for position in range(len(roles))]
    turns = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    # Jinja comes with the tokenizers; its errors are the template's own refusals.
    from jinja2 import TemplateError  # noqa: PLC0415

    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise Invalid(f"the chat template refuses this conversation: {error}") from error
    pieces = re.split("\ue000(\\d+)\ue001", text)
    parts = tuple(int(piece) if i % 2 else piece for i, piece in enumerate(pieces))
    controls = _controls(tokenizer)
    ids = [t for part in parts if isinstance(part, str) for t in _encode(tokenizer, part)]
    marks = tuple(token for token in controls.values() if token in STEP_TOKENS)
    return _Skeleton(parts, frozenset(controls), sum(t in controls for t in ids), marks)


def _fill(
    parts: Sequence[str | int], contents: Sequence[str], continue_final: bool
) -> Iterator[tuple[str, int | None]]:
    """Yield the prompt piece by piece, and which content a piece is, if any."""
    for part in parts:
        yield (part, None) if isinstance(part, str) else (contents[part], part)
    if continue_final:
        yield contents[-1], len(contents) - 1


def _without_second_opening(before: str | int, prefix: str) -> str:
    """Drop the opening of the reasoning from `prefix` where the prompt ends with it."""
    if isinstance(before, str) and before.rstrip().endswith(THINK_OPEN):
        return prefix.removeprefix(THINK_OPEN).removeprefix("\n")
    return prefix


def _controls(tokenizer: Any) -> dict[int, str]:
    """Return the tokens no content may hold: special ones, what the template writes, and marks.

    Some families' turn marks are added tokens that are not flagged special. Think tags are
    none of these: a text may hold them, and a prefix has to.
    """
    template = str(tokenizer.chat_template)
    return {
        token_id: token.content
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.special
        or token.content in STEP_TOKENS
        or (token.content in template and token.content not in (THINK_OPEN, THINK_CLOSE))
    }


def _num_marks(contents: Sequence[str], own: Sequence[bool], skeleton: _Skeleton) -> int:
    """Count the marks of steps in the assistant's contents."""
    texts = [content for content, is_own in zip(contents, own, strict=True) if is_own]
    return sum(text.count(mark) for text in texts for mark in skeleton.marks)


def _num_controls(ids: Sequence[int], skeleton: _Skeleton) -> int:
    return sum(token in skeleton.control_ids for token in ids)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False) if text else []


def _encode_plain(tokenizer: Any, text: str, keep_marks: bool) -> list[int]:
    """Encode `text` with every control token in it cut in two, so that none is recognised.

    With `keep_marks` those of steps are left whole.
    """
    kept = STEP_TOKENS if keep_marks else ()
    controls = [token for token in _controls(tokenizer).values() if token not in kept]
    found = re.finditer("|".join(map(re.escape, controls)), text) if controls else ()
    cuts = [0, *(match.start() + 1 for match in found), len(text)]
    return [
        token
        for start, end in pairwise(cuts)
        for token in tokenizer.encode(
            text[start:end], add_special_tokens=False, split_special_tokens=True
        )
    ]
