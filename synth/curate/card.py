"""What the manifest counts, and the dataset card: what a stranger needs to use the shards.

Every trace ends in exactly one place, and is counted there, by arm: `accepted` (a supervised row,
whether in pairs or not), `paired` (in a preference pair and no supervised row), or `drops`
(neither; `drops.parquet` holds these, each with its reason). `synth/curate/arms.py` says which
traces may be what. The acceptance of a label and category is that of the supervised steps'
traces.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, StrictUndefined

from guidelines import GuidelineSet
from guidelines.plain import one_line
from synth.config.schema import ModelConfig, SynthConfig
from synth.curate.arms import Arm
from synth.curate.policy import Policy
from synth.curate.preference import Preferences, TrainingPairs
from synth.curate.rules import Drop
from synth.curate.select import Selection
from synth.recipes.base import Format, Recipe, Train
from synth.workspace.stage import Manifest

FACET = ("recipe", "label", "category")
Facet = tuple[str, str, str]

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


def counts(
    selection: Selection, preferences: Preferences, arms: Mapping[str, Arm]
) -> dict[str, Any]:
    """Return the counts of traces and pairs, as the manifest has them."""
    accepted, drops = selection.accepted, selection.drops
    kept, paired = count(accepted, "recipe"), count(selection.only_paired, "recipe")
    return {
        "accepted": {arm: kept[(arm,)] for arm in arms},
        "paired": {arm: paired[(arm,)] for arm in arms},
        "pairs": _by_training(arms, preferences, lambda pairs: pairs.kinds),
        "contaminated_pairs": _by_training(arms, preferences, lambda pairs: pairs.left_out),
        "outcomes": {arm: _tally(selection.traces, "recipe", "outcome", arm) for arm in arms},
        "drops": {arm: _tally(drops, "arm", "reason", arm) for arm in arms},
        "drops_by_step": _drops_by_step(drops),
        "acceptance": _acceptance(_candidates(selection.traces, arms), accepted),
    }


def count(table: pa.Table, *columns: str) -> Counter[Any]:
    """Return rows by their values of some columns."""
    counted = table.group_by(list(columns)).aggregate([([], "count_all")]).to_pydict()
    rows = counted.pop("count_all")
    return Counter(dict(zip(zip(*counted.values(), strict=True), rows, strict=True)))


def _tally(table: pa.Table, by: str, column: str, arm: str) -> dict[str, int]:
    found = count(table, by, column)
    return {value: rows for (each, value), rows in sorted(found.items()) if each == arm}


def _by_training(
    arms: Iterable[str], preferences: Preferences, told: Callable[[TrainingPairs], Any]
) -> dict[str, dict[str, Any]]:
    """Return what is told of every training on pairs, by arm."""
    found: dict[str, dict[str, Any]] = {arm: {} for arm in arms}
    for each in preferences.trainings:
        found[each.arm][each.training] = told(each)
    return found


def _drops_by_step(drops: pa.Table) -> list[dict[str, Any]]:
    """Return how many traces of every arm and step each reason dropped."""
    return [
        {"arm": arm, "step": step, "reason": reason, "rows": rows}
        for (arm, step, reason), rows in sorted(count(drops, "arm", "step", "reason").items())
    ]


def _candidates(traces: pa.Table, arms: Mapping[str, Arm]) -> pa.Table:
    """Return the traces of the supervised steps, whatever became of them."""
    of_steps = (
        traces.filter((pc.field("recipe") == name) & (pc.field("step") == arm.supervised))
        for name, arm in arms.items()
        if arm.supervised is not None
    )
    return pa.concat_tables([traces.schema.empty_table(), *of_steps])


def _acceptance(candidates: pa.Table, accepted: pa.Table) -> list[dict[str, Any]]:
    """Return candidates and accepted ones of every arm, label and category."""
    kept = count(accepted, *FACET)
    return [
        {
            "arm": arm,
            "label": label,
            "category": category,
            "traces": total,
            "accepted": kept[arm, label, category],
        }
        for (arm, label, category), total in sorted(count(candidates, *FACET).items())
    ]


def render_card(
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
    """Return the sets of shards that are loaded apart, by name: of each split the pattern.

    The rows to train on are always among them: without a pattern, `datasets` would take any parquet
    file there is, which are the drops.
    """
    configs = {"default": {"train": "sft/train-?????-of-?????.parquet"}}
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
