"""How each model family marks its reasoning and ends its turns.

One plain table, used by sampling, training and judging alike.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from synth.config.schema import FamilyConfig
from synth.errors import BadInput

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"

# STAIR's step marks (arXiv 2502.02384, its structured CoT format; `synth.recipes.surgery`).
STEP_OPEN, STEP_CLOSE = "<|Reasoning_step|>", "<|/Reasoning_step|>"  # code
OUTPUT_OPEN, OUTPUT_CLOSE = "<|Output|>", "<|/Output|>"  # code
STEP_TOKENS = (STEP_OPEN, STEP_CLOSE, OUTPUT_OPEN, OUTPUT_CLOSE)  # code


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


class ParsedText(NamedTuple):
    """A model's text, taken apart.

    `closed` is False where the reasoning was begun and never ended: then all of it is
    reasoning and there is no answer.
    """

    reasoning: str
    answer: str
    closed: bool


def family_of(model: str | Path, override: str | FamilyConfig | None = None) -> Family:
    """Return the family of a model folder (by its chat template) or of a name.

    Args:
        model: The model.
        override: What the configuration says: the key of a family, or its marks.

    Raises:
        BadInput: `override` is no family.
    """
    if isinstance(override, FamilyConfig):
        return Family(name="own", **override.model_dump())
    if override is not None:
        if override not in FAMILIES:
            raise BadInput(
                file="config",
                field="family",
                value=override,
                rule=f"must be one of {', '.join(FAMILIES)}, or the marks of another: "
                "{think_open: <reason>, think_close: </reason>}",
            )
        return FAMILIES[override]
    folder = Path(model)
    if folder.is_dir():
        return _first_match(_BY_TEMPLATE, _chat_template(folder))
    return _first_match(_BY_NAME, str(model).lower())


def split_reasoning(text: str, family: Family, *, opened: bool | None = None) -> ParsedText:
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
        return ParsedText("", text, True)
    reasoning, close, answer = start.partition(family.think_close)
    return ParsedText(reasoning.strip(), answer.lstrip(), bool(close))


def thought_is_open(text: str, family: Family) -> bool:
    """Say whether `text` has begun a reasoning and not ended it."""
    return text.rfind(family.think_open) > text.rfind(family.think_close)


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
