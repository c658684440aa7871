"""Groups of prompts (a suite, plain or under an attack) and which judge speaks for a model."""

from collections.abc import Mapping

from train.evals.attacks import PLAIN
from train.evals.records import RULES
from train.report.cells import Json
from train.report.read import RunFiles

PROXY = "rule proxy, upper bound"

MODEL_STYLES = range(6)  # numbers of colours and shapes: models have theirs, families others
FAMILY_STYLES = range(6, 12)
HARMFUL_STYLE, HELPFUL_STYLE = 12, 13

Groups = list[tuple[str, dict[str, Json]]]


def group_name(group: Json) -> str:
    """Return how a group of prompts is called: its suite, and how it is attacked."""
    if group["attack"] == PLAIN:
        return f"{group['suite']}, plain"
    return f"{group['suite']}, {group['attack']} ({group['family']})"


def groups_of(files: RunFiles, attacked: bool | None = None) -> Groups:
    """Return every group of prompts with each model's results on it.

    Args:
        files: The run.
        attacked: Only groups under an attack, or only those without; all where None.
    """
    found: dict[str, dict[str, Json]] = {}
    for model, results in files.results.items():
        for group in results["groups"]:
            if attacked in (None, group["attack"] != PLAIN):
                found.setdefault(group_name(group), {})[model] = group
    return list(found.items())


def suites_of(files: RunFiles) -> list[str]:
    """Return the suites' names, in the order they were asked."""
    return list(
        dict.fromkeys(
            group["suite"] for results in files.results.values() for group in results["groups"]
        )
    )


def style_of(files: RunFiles, model: str) -> int:
    """Return the number of a model's colour and shape: the same on the whole page."""
    names = list(files.results)
    return MODEL_STYLES[names.index(model) % len(MODEL_STYLES)] if model in names else HELPFUL_STYLE


def headline_judge(files: RunFiles) -> str:
    """Return the judge whose ASR is the headline; every model is judged alike."""
    return next((str(one["headline"]) for one in files.results.values()), RULES)


def asr_name(judge: str) -> str:
    """Return what the ASR of a judge is called."""
    return f"ASR ({PROXY})" if judge == RULES else f"ASR ({judge})"


def asr_of(group: Json, judge: str, kind: str = "sampled") -> Json | None:
    """Return the ASR of a group's harmful prompts by one judge, or None."""
    return group["labels"].get("harmful", {}).get("asr", {}).get(judge, {}).get(kind)


def over_refusal_of(group: Json) -> Json | None:
    """Return the over-refusal of a group's benign prompts, full and partial."""
    return group["labels"].get("benign", {}).get("over_refusal")


def degenerate_of(group: Json) -> Json | None:
    """Return the share of degenerate answers to a group's harmful prompts."""
    harmful = group["labels"].get("harmful")
    return harmful["shares"]["degenerate"] if harmful else None


def attacks_of(results: Json, suite: str) -> list[Json]:
    """Return the groups of one suite under an attack."""
    return [
        group for group in results["groups"] if group["suite"] == suite and group["attack"] != PLAIN
    ]


def macro_asr(macro: Mapping[str, Json], judge: str) -> Json | None:
    """Return the mean ASR over families of attacks by the headline judge."""
    return macro.get("asr_rule" if judge == RULES else "asr")
