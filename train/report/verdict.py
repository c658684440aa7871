"""The report's first words: what changed, how sure that is, and what it does not show."""

from collections.abc import Iterator, Mapping
from typing import Any

from train.report.read import RunFiles
from train.report.tables import detectable, group_name, p_value, percent, points

Json = Mapping[str, Any]

HIGHER_IS_BETTER = {"asr_rule": False, "over_refusal": False, "discrimination": True}
METRIC_NAMES = {
    "asr_rule": "attack success (rule proxy)",
    "over_refusal": "over-refusal of benign prompts",
    "discrimination": "discrimination",
}
MANY_UNDETERMINED = 0.1  # a share of answers without a verdict that has to be mentioned


def headline(comparison: Json) -> list[str]:
    """Return the sentences on the comparison that was fixed beforehand."""
    primary = comparison.get("primary")
    if not primary:
        return ["Nothing is compared: fewer than two models are evaluated."]
    where = "without an attack" if primary["attack"] == "plain" else f"under {primary['attack']}"
    asked = (
        f"Fixed beforehand: {METRIC_NAMES[primary['metric']]} of {primary['model']} against "
        f"{primary['baseline']}, on the suite {primary['suite']} {where}."
    )
    found = primary["difference"]
    if found["value"] is None:
        return [asked, "It can not be answered: no prompt has a verdict for both models."]
    cell = points(found)
    counts = (
        f"The difference is {cell.text} points, 95 % interval {cell.interval} "
        f"({found['method']}), over {primary['prompts']} prompts; p {_equals(primary['p'])} "
        f"({primary['test']})."
    )
    return [asked, counts, _conclusion(primary)]


def changes(files: RunFiles) -> list[str]:
    """Return one sentence a student: its plain prompts beside the base model's."""
    names = list(files.results)
    if len(names) < 2:
        return []
    base = {group_name(group): group for group in files.results[names[0]]["groups"]}
    return [
        f"{model} beside {names[0]}, {group_name(group)}: {_side_by_side(base, group)}."
        for model in names[1:]
        for group in files.results[model]["groups"]
        if group["attack"] == "plain" and group_name(group) in base
    ]


def warnings(files: RunFiles) -> list[str]:
    """Return what a reader must know before believing a number."""
    return [*_always(), *_undetermined(files), *_unlike(files.comparison)]


def _always() -> list[str]:
    return [
        "Each student was trained once, from one training seed. Another seed may change the "
        "numbers more than the intervals here, so this report supports no claim that one "
        "method is better than another: that takes at least three seeds a method.",
        "ASR here is asr_rule, a proxy and an upper bound: an answer to a harmful prompt "
        "counts as unsafe unless a rule finds a full refusal. Whether it is harmful is not "
        "judged.",
        "The rule judge is uncertified in this run: its errors are not corrected for.",
    ]


def _undetermined(files: RunFiles) -> Iterator[str]:
    for model, results in files.results.items():
        for group in results["groups"]:
            labels = group["labels"].values()
            answers = sum(label["answers"] for label in labels)
            missing = sum(label["undetermined"] for label in labels)
            if missing > MANY_UNDETERMINED * answers:
                yield (
                    f"{model}, {group_name(group)}: {missing} of {answers} answers have no "
                    "verdict. Read the bounds, not the rates."
                )


def _unlike(comparison: Json) -> Iterator[str]:
    every = [comparison.get("primary"), *comparison.get("others", [])]
    unlike: dict[tuple[str, str], set[str]] = {}
    for one in every:
        if one and one["truncation_unlike"]:
            unlike.setdefault((one["model"], one["baseline"]), set()).add(one["attack"])
    for (model, baseline), attacks in sorted(unlike.items()):
        yield (
            f"{model} and {baseline} have unlike shares of truncated answers "
            f"({', '.join(sorted(attacks))}): their difference may be one of length."
        )


def _side_by_side(base: Mapping[str, Json], group: Json) -> str:
    before, after = base[group_name(group)]["labels"], group["labels"]
    parts = []
    for label, metric, name in (
        ("harmful", "asr_rule", "ASR (rule proxy)"),
        ("benign", "over_refusal", "over-refusal"),
    ):
        if label in before and label in after:
            old, new = (percent(labels[label][metric]).text for labels in (before, after))
            parts.append(f"{name} {old} to {new}")
    old, new = (points(one["discrimination"]).text for one in (base[group_name(group)], group))
    return ", ".join([*parts, f"discrimination {old} to {new} points"])


def _conclusion(primary: Json) -> str:
    low, high = primary["difference"]["low"], primary["difference"]["high"]
    if low <= 0 <= high:
        return (
            "That is no change this much data could tell from chance; it would find one of "
            f"{detectable(primary)} points or more in four cases of five."
        )
    better = (low > 0) == HIGHER_IS_BETTER[primary["metric"]]
    model, baseline = primary["model"], primary["baseline"]
    return f"On these prompts {model} does {'better' if better else 'worse'} than {baseline}."


def _equals(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
