"""The dataset card: what a stranger needs to judge and use the shards."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, StrictUndefined

from guidelines import GuidelineSet
from guidelines.plain import one_line
from synth.config.schema import ModelConfig, SynthConfig
from synth.curate.policy import Policy
from synth.curate.rules import Drop
from synth.recipes.base import Format, Recipe, Train
from synth.workspace.stage import Manifest

# Colons and dots, where a web address would become a link by itself.
_MARKUP = re.compile(r"[\\|`*_\[\]~#]|:(?=//)|(?<=www)\.")

MEANINGS: Mapping[Drop, str] = {
    Drop.STALE: "its model, or that of a trace it was made from, is none of this run's any more",
    Drop.OVER_BUDGET: "made after the recipe's tokens were spent",
    Drop.TRUNCATED: "cut by the token limit before it was complete",
    Drop.UNPARSED: "not in the asked form",
    Drop.INVALID: "the prompt can never work: too long, or empty",
    Drop.FAILED: "generation failed",
    Drop.INTERRUPTED: "generation was interrupted and has not been repeated",
    Drop.EARLIER_STEP: "a later step of the recipe has the finished trace",
    Drop.NO_CONTRAST: "made for preference pairs, and in none",
    Drop.UNUSED_STEP: "no training of the recipe uses its step",
    Drop.REJECTED_BY_RECIPE: "the recipe's own rule does not keep it",
    Drop.MISSING_SECTION: "a part is missing, empty or not closed",
    Drop.REPETITIVE: "repeats itself, or is garbled",
    Drop.UNDETERMINED_REFUSAL: "the refusal judge has no verdict",
    Drop.INCONSISTENT: "label, decision and answer do not fit together",
    Drop.LEAKS_GUIDELINE: "names or quotes the guidelines",
    Drop.TOO_SHORT: "reasoning or answer is too short",
    Drop.TOO_LONG: "reasoning or answer is too long",
    Drop.CONTAMINATED: "the prompt is too near an evaluation prompt",
    Drop.NEAR_DUPLICATE: "another prompt of the same label says nearly the same",
    Drop.SURPLUS_SIBLING: "better traces of the same prompt fill its places",
    Drop.UNBALANCED: "its label or category has enough",
    Drop.LESS_DIVERSE: "others make a more diverse set of the size that the recipe wants",
}

FORMATS: Mapping[Format, str] = {
    "think": "reasoning, then the answer",
    "answer": "the answer alone",
    "steps": "marked steps, then the answer",
}

TRAININGS: Mapping[str, str] = {"dpo": "preference (DPO)", "reward": "reward model"}

_NUMBERED = re.compile(r"\d{5}-of-\d{5}\.parquet$")


def render(
    body: Manifest,
    *,
    config: SynthConfig,
    policy: Policy,
    guideline_sets: Sequence[GuidelineSet],
    recipes: Mapping[str, Recipe],
) -> str:
    """Return the card as Markdown.

    Args:
        body: The manifest's body.
        config: Of the run.
        policy: The rules that were applied.
        guideline_sets: What the traces were conditioned on.
        recipes: By name.
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
        formats={name: FORMATS[recipe.format] for name, recipe in recipes.items()},
        meanings=MEANINGS,
        teacher=_name(config.teacher),
        seeds=PurePath(config.seeds.path).name,
        configs=_configs(body),
        trainings=list(_trainings(body, recipes)),
        traces={arm: sum(outcomes.values()) for arm, outcomes in body["outcomes"].items()},
    )


def _configs(body: Manifest) -> dict[str, dict[str, str]]:
    """Return the sets of shards that are loaded apart, by name: of each split the pattern."""
    configs: dict[str, dict[str, str]] = {}
    for shard in body["shards"]:
        name = f"{shard['arm']}-{shard['training']}" if "training" in shard else "default"
        pattern = _NUMBERED.sub("?????-of-?????.parquet", shard["path"])
        split = PurePath(shard["path"]).name.split("-")[0]
        configs.setdefault(name, {})[split] = pattern
    return configs


def _trainings(body: Manifest, recipes: Mapping[str, Recipe]) -> Iterator[dict[str, Any]]:
    """Yield what each training on pairs is, and has."""
    for arm, trainings in body["pairs"].items():
        kinds = {part.name: part.kind for part in recipes[arm].steps if isinstance(part, Train)}
        for name, pairs in trainings.items():
            yield {
                "arm": arm,
                "name": name,
                "kind": TRAININGS[kinds[name]],
                "pairs": ", ".join(f"{rows} {kind}" for kind, rows in pairs.items()) or "none",
                "contaminated": body["contaminated_pairs"][arm][name],
            }


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
