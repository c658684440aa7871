"""The dataset card: what a stranger needs to judge and use the shards."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, StrictUndefined

from guidelines import GuidelineSet
from guidelines.plain import one_line
from synth.config import ModelConfig, SynthConfig
from synth.curate.policy import Policy
from synth.curate.rules import Drop
from synth.stage import Manifest

# Colons and dots, where a web address would become a link by itself.
_MARKUP = re.compile(r"[\\|`*_\[\]~#]|:(?=//)|(?<=www)\.")

MEANINGS: Mapping[Drop, str] = {
    Drop.TRUNCATED: "cut by the token limit before it was complete",
    Drop.UNPARSED: "not in the asked form",
    Drop.INVALID: "the prompt can never work: too long, or empty",
    Drop.FAILED: "generation failed",
    Drop.INTERRUPTED: "generation was interrupted and has not been repeated",
    Drop.MISSING_SECTION: "a part is missing, empty or not closed",
    Drop.REPETITIVE: "repeats itself, or is garbled",
    Drop.UNDETERMINED_REFUSAL: "the refusal judge has no verdict",
    Drop.INCONSISTENT: "label, decision and answer do not fit together",
    Drop.LEAKS_GUIDELINE: "names or quotes the guidelines",
    Drop.TOO_SHORT: "reasoning or answer is too short",
    Drop.TOO_LONG: "reasoning or answer is too long",
    Drop.EARLIER_STEP: "a later step of the recipe has the finished trace",
    Drop.CONTAMINATED: "the prompt is too near an evaluation prompt",
    Drop.NEAR_DUPLICATE: "another prompt of the same label says nearly the same",
    Drop.SURPLUS_SIBLING: "better traces of the same prompt fill its places",
    Drop.UNBALANCED: "its label or category has enough",
}


def render(
    body: Manifest,
    *,
    config: SynthConfig,
    policy: Policy,
    guideline_sets: Sequence[GuidelineSet],
    formats: Mapping[str, str],
) -> str:
    """Return the card as Markdown.

    Args:
        body: The manifest's body.
        config: Of the run.
        policy: The rules that were applied.
        guideline_sets: What the traces were conditioned on.
        formats: Recipe to `think` or `answer`.
    """
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # The page is Markdown; what could break it is escaped cell by cell.
        autoescape=False,
    )
    environment.filters |= {"cell": cell, "code": code}
    template = environment.from_string(
        files("synth.curate").joinpath("card.md").read_text(encoding="utf-8")
    )
    return template.render(
        body=body,
        config=config,
        rules=policy.model_dump(mode="json"),
        guideline_sets=guideline_sets,
        formats=formats,
        meanings=MEANINGS,
        teacher=_name(config.teacher),
        seeds=PurePath(config.seeds.path).name,
        splits={shard["path"].removeprefix("sft/").split("-")[0] for shard in body["shards"]},
        traces={arm: sum(outcomes.values()) for arm, outcomes in body["outcomes"].items()},
    )


def cell(value: Any) -> str:
    """Return `value` as plain text of a Markdown table's cell, on one line.

    What would be markup, HTML, an image or a link is escaped.
    """
    text = _MARKUP.sub(r"\\\g<0>", _line(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: Any) -> str:
    """Return `value` as what stands between backticks: in there all but these is plain."""
    return _line(value).replace("`", "'")


def _line(value: Any) -> str:
    return one_line(" ".join(str(value).split()))


def _name(model: ModelConfig) -> str:
    if model.endpoint is not None:
        return f"{model.endpoint.model} (a served model, its weights not verified)"
    return f"{model.model}" + (f" at {model.revision}" if model.revision else "")
