"""How each model family marks its reasoning, ends its turns and builds its prompt.

One plain table, used by sampling, training and judging alike.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from synth.chat import Message
from synth.errors import BadInput, Invalid

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
ROLES = frozenset(("system", "user", "assistant", "tool"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One row of the table.

    Attributes:
        name: Key of the table.
        think_open: Opens the reasoning.
        think_close: Closes it.
        prompt_opens_think: The generation prompt ends with `think_open`: the model's text
            starts inside its reasoning.
        end_of_turn: Ends the model's turn; None where only the tokenizer knows.
    """

    name: str
    think_open: str = THINK_OPEN
    think_close: str = THINK_CLOSE
    prompt_opens_think: bool = False
    end_of_turn: str | None = None


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        # Families without a mark of their own learn these tags from our training data.
        Family(name="chatml", end_of_turn="<|im_end|>"),
        Family(name="qwen3", end_of_turn="<|im_end|>"),
        Family(name="qwen3-thinking", prompt_opens_think=True, end_of_turn="<|im_end|>"),
        Family(
            name="deepseek-r1",
            prompt_opens_think=True,
            end_of_turn="<\uff5cend\u2581of\u2581sentence\uff5c>",
        ),
        Family(name="llama3", end_of_turn="<|eot_id|>"),
        Family(name="generic"),
    )
}

# What tells a family by a hub name, and by a folder's chat template: the first match counts.
_BY_NAME = (
    (r"deepseek-r1", "deepseek-r1"),
    (r"qwen3.*thinking", "qwen3-thinking"),
    (r"qwen3", "qwen3"),
    (r"llama-?3", "llama3"),
    (r"^embedded$|smollm2|qwen2", "chatml"),
)
_BY_TEMPLATE = (
    (r"<\uff5cAssistant\uff5c><think>", "deepseek-r1"),
    (r"<\|im_start\|>assistant\\n<think>\\n['\"]", "qwen3-thinking"),
    (r"<\|im_start\|>(?s:.*)<think>", "qwen3"),
    (r"<\|start_header_id\|>", "llama3"),
    (r"<\|im_start\|>", "chatml"),
)


class Split(NamedTuple):
    """A model's text, taken apart.

    `closed` is False where the reasoning was begun and never ended: then all of it is
    reasoning and there is no answer.
    """

    reasoning: str
    answer: str
    closed: bool


def family_of(model: str | Path, override: str | None = None) -> Family:
    """Return the family of a model folder (by its chat template) or of a name.

    Raises:
        BadInput: `override` is no family.
    """
    if override is not None:
        if override not in FAMILIES:
            raise BadInput(
                file="config",
                field="family",
                value=override,
                rule=f"must be one of {', '.join(FAMILIES)}",
            )
        return FAMILIES[override]
    folder = Path(model)
    if folder.is_dir():
        return _first_match(_BY_TEMPLATE, _chat_template(folder))
    return _first_match(_BY_NAME, str(model).lower())


def split_reasoning(text: str, family: Family, *, opened: bool | None = None) -> Split:
    """Take a model's text apart into its reasoning and its answer.

    Args:
        text: What the model wrote, without its prompt.
        family: How it marks reasoning.
        opened: Whether the prompt has opened the reasoning already; the family's habit
            where not given.
    """
    opened = family.prompt_opens_think if opened is None else opened
    start = text.lstrip()
    if start.startswith(family.think_open):
        start = start.removeprefix(family.think_open)
    elif not opened:
        return Split("", text, True)
    reasoning, close, answer = start.partition(family.think_close)
    return Split(reasoning.strip(), answer.lstrip(), bool(close))


def thought_is_open(text: str, family: Family) -> bool:
    """Say whether `text` has begun a reasoning and not ended it."""
    return text.rfind(family.think_open) > text.rfind(family.think_close)


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
    then may tokens at a content's borders differ from those of the whole.

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
    pieces = list(_fill(skeleton.parts, contents, continue_final))
    ids = _encode(tokenizer, "".join(text for text, _ in pieces))
    if _num_controls(ids, skeleton) == skeleton.num_controls:
        return ids
    ids = [
        token
        for text, is_content in pieces
        for token in (_encode_plain(tokenizer, text) if is_content else _encode(tokenizer, text))
    ]
    if _num_controls(ids, skeleton) != skeleton.num_controls:
        raise Invalid("its text can not be kept apart from the model's control tokens")
    return ids


class _Skeleton(NamedTuple):
    """A rendered template: text and content positions in turn, and its control tokens."""

    parts: tuple[str | int, ...]
    control_ids: frozenset[int]
    num_controls: int


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
    control_ids = _control_ids(tokenizer)
    ids = [t for part in parts if isinstance(part, str) for t in _encode(tokenizer, part)]
    return _Skeleton(parts, control_ids, sum(t in control_ids for t in ids))


def _fill(
    parts: Sequence[str | int], contents: Sequence[str], continue_final: bool
) -> Iterator[tuple[str, bool]]:
    """Yield the prompt piece by piece, and whether a piece is content."""
    for part in parts:
        yield (part, False) if isinstance(part, str) else (contents[part], True)
    if continue_final:
        yield contents[-1], True


def _without_second_opening(before: str | int, prefix: str) -> str:
    """Drop the opening of the reasoning from `prefix` where the prompt ends with it."""
    if isinstance(before, str) and before.rstrip().endswith(THINK_OPEN):
        return prefix.removeprefix(THINK_OPEN).removeprefix("\n")
    return prefix


def _control_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids no content may hold: special tokens, and what the template writes.

    Some families' turn marks are added tokens that are not flagged special. Think tags are
    none of these: a text may hold them, and a prefix has to.
    """
    template = str(tokenizer.chat_template)
    return frozenset(
        token_id
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.special
        or (token.content in template and token.content not in (THINK_OPEN, THINK_CLOSE))
    )


def _num_controls(ids: Sequence[int], skeleton: _Skeleton) -> int:
    return sum(token in skeleton.control_ids for token in ids)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False) if text else []


def _encode_plain(tokenizer: Any, text: str) -> list[int]:
    """Encode `text` with every control token in it cut in two, so that none is recognised."""
    controls = [tokenizer.added_tokens_decoder[i].content for i in _control_ids(tokenizer)]
    found = re.finditer("|".join(map(re.escape, controls)), text) if controls else ()
    cuts = [0, *(match.start() + 1 for match in found), len(text)]
    return [
        token
        for start, end in pairwise(cuts)
        for token in tokenizer.encode(
            text[start:end], add_special_tokens=False, split_special_tokens=True
        )
    ]


def _first_match(table: Sequence[tuple[str, str]], text: str) -> Family:
    for pattern, name in table:
        if re.search(pattern, text):
            return FAMILIES[name]
    return FAMILIES["generic"]


def _chat_template(folder: Path) -> str:
    template = folder / "chat_template.jinja"
    if template.is_file():
        return template.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return ""
    return str(json.loads(config.read_text(encoding="utf-8")).get("chat_template") or "")
