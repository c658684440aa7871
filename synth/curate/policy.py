"""Policies: the curation rules as data, the one that ships or a user's own file."""

import os.path
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from synth.config.loading import parse_yaml, read_text
from synth.config.schema import Positive, Share, Strict
from synth.errors import BadInput

DEFAULT = "default"
_NAME = re.compile(r"\w[\w .-]{0,63}")

NaturalNumber = Annotated[int, Field(ge=0)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
SectionName = Annotated[str, Field(min_length=1)]
Label = Literal["harmful", "benign", "borderline"]


class Balance(Strict):
    """How many traces of each kind an arm keeps.

    Attributes:
        labels: Ratio of the labels' rows, `{harmful: 1, benign: 2}`. Labels not named, and those
            without rows, are left as they are; null balances nothing.
        category_cap: Traces kept of one label and category; null keeps all.
    """

    labels: dict[Label, Annotated[float, Field(gt=0)]] | None
    category_cap: Positive | None


class Policy(Strict):
    """The rules of one curation; the values that ship stand in `default.yaml`.

    Attributes:
        min_reasoning_words: Fewer words of reasoning are too short, in formats that have any.
        max_reasoning_words: More are too long.
        min_answer_words: Fewer words of answer are too short.
        max_answer_words: More are too long.
        max_repetition: Greatest share of repeated word 4-grams in reasoning or answer.
        max_leak_overlap: Greatest share of word 5-grams a part has in common with a guideline.
        forbid_naming: Drop traces that name the guidelines.
        require_consistency: Drop traces whose label, decision and answer do not fit together,
            and those where that can not be told.
        decontaminate: Least similarity to an evaluation prompt that drops a seed's traces.
        near_duplicate: Least similarity of two seeds of one label that drops one's traces.
        per_prompt: Traces kept of one seed in one arm, the best first.
        balance: How many traces of each kind an arm keeps.
        sections: What the reasoning of a supervised row is made of, in this order, where a trace
            has all of these sections; null leaves each trace its own running text.
        heldout_share: Share of the prompts whose traces are kept out of training, whole pairs.
        shard_rows: Rows in one file at most.
    """

    min_reasoning_words: NaturalNumber
    max_reasoning_words: Positive
    min_answer_words: NaturalNumber
    max_answer_words: Positive
    max_repetition: Share
    max_leak_overlap: Share
    forbid_naming: bool
    require_consistency: bool
    decontaminate: PositiveShare
    near_duplicate: PositiveShare
    per_prompt: Positive
    balance: Balance
    sections: Annotated[tuple[SectionName, ...], Field(min_length=1)] | None
    heldout_share: Annotated[float, Field(ge=0, lt=1)]
    shard_rows: Positive


def load_policy(source: str) -> Policy:
    """Load `default`, or a user's YAML file laid over it.

    Raises:
        BadInput: There is no such file, or it breaks a rule.
    """
    policy_name(source)
    text = files("synth.curate").joinpath("default.yaml").read_text("utf-8")
    shipped = parse_yaml("default.yaml", text)
    own = {} if source == DEFAULT else _read(source)
    try:
        return Policy.model_validate({**shipped, **own})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BadInput(file=source, field=field, value=first["input"], rule=first["msg"]) from None


def policy_name(source: str) -> str:
    """Return the name of the folder that a policy's output goes to: the file's stem.

    Raises:
        BadInput: The stem could lead elsewhere, or is no plain name.
    """
    name = Path(source).stem
    if _NAME.fullmatch(name) is None:
        rule = "must be a file named in up to 64 letters, digits, spaces, `.`, `_` and `-`"
        raise BadInput(file="config", field="curate.policy", value=source, rule=rule)
    return name


def _read(source: str) -> Mapping[str, Any]:
    if not os.path.isfile(source):
        rule = f"must be {DEFAULT}, or a readable YAML file"
        raise BadInput(file="config", field="curate.policy", value=source, rule=rule)
    fields = parse_yaml(source, read_text(source))
    if not isinstance(fields, dict):
        rule = "must be a mapping of the policy's fields"
        raise BadInput(file=source, field="policy", value=fields, rule=rule)
    return fields
