"""The report's first words: what changed, how sure that is, and what it cost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from train.evals.attacks import PLAIN
from train.evals.records import RULES
from train.report.read import RunFiles
from train.report.tables import (
    Json,
    asr_name,
    asr_of,
    degenerate_of,
    detectable,
    equals,
    headline_judge,
    known,
    listed,
    over_refusal_of,
    percent,
    points,
    share,
)

HIGHER_IS_BETTER = {"asr": False, "asr_rule": False, "over_refusal": False, "discrimination": True}
METRIC_NAMES = {
    "asr": "attack success",
    "asr_rule": "attack success (rule proxy)",
    "over_refusal": "over-refusal of benign prompts",
    "discrimination": "discrimination",
}
_HOW = {True: "better", False: "worse", None: "not told from chance"}
SURE = 0.05  # p below which a difference is told from chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What the page says first.

    Attributes:
        conclusion: The answer, a sentence.
        sureness: The number, its interval and test.
        costs: What else changed between the two models: on the same prompts, under attacks.
        question: What was asked, fixed beforehand; empty where nothing is compared.
        changes: Every student beside the first model, on plain prompts.
    """

    conclusion: str
    sureness: str = ""
    costs: Sequence[str] = ()
    question: str = ""
    changes: Sequence[str] = ()


def verdict(files: RunFiles) -> Headline:
    """Return the verdict on the comparison that was fixed beforehand."""
    primary = files.comparison.get("primary")
    if not primary:
        return Headline(conclusion="Nothing is compared: fewer than two models are evaluated.")
    asked = (
        f"Fixed beforehand: {METRIC_NAMES[primary['metric']]} of {primary['model']} against "
        f"{primary['baseline']}, on the suite {primary['suite']} {_where(primary['attack'])}."
    )
    if not known(primary["difference"]):
        return Headline(
            conclusion="It can not be answered: no prompt has a verdict for both models.",
            question=asked,
            changes=_changes(files, primary["suite"]),
        )
    beside = [
        one
        for one in files.comparison.get("others", [])
        if all(one[key] == primary[key] for key in ("model", "baseline", "suite"))
        and one["metric"] in _shown_metrics(files)
        and known(one["difference"])
    ]
    return Headline(
        conclusion=_conclusion(primary),
        sureness=_sureness(primary),
        costs=[*_on_the_same(beside, primary["attack"]), *_under_attacks(beside)],
        question=asked,
        changes=_changes(files, primary["suite"]),
    )


def _shown_metrics(files: RunFiles) -> tuple[str, ...]:
    asr = "asr_rule" if headline_judge(files) == RULES else "asr"
    return (asr, "over_refusal", "discrimination")


def _where(attack: str) -> str:
    return "without an attack" if attack == PLAIN else f"under {attack}"


def _conclusion(primary: Json) -> str:
    better = _direction(primary, primary["p"])
    model, baseline = primary["model"], primary["baseline"]
    metric = METRIC_NAMES[primary["metric"]]
    if better is None:
        return f"No change in {metric} from {baseline} to {model} can be told from chance."
    return (
        f"{model} does {'better' if better else 'worse'} than {baseline}: "
        f"{metric} {_moved(primary)}."
    )


def _moved(comparison: Json) -> str:
    value = comparison["difference"]["value"]
    if points(comparison["difference"]).text == "0.0":
        return "did not move"
    return f"{'rose' if value > 0 else 'fell'} by {100 * abs(value):.1f} points"


def _sureness(primary: Json) -> str:
    cell = points(primary["difference"])
    return (
        f"The difference is {cell.text} points, 95 % interval {cell.interval} "
        f"({primary['difference']['method']}), over {primary['prompts']} prompts; "
        f"p {equals(primary['p'])} ({primary['test']}). So many prompts find a difference of "
        f"{detectable(primary)} points or more in four cases of five."
    )


def _direction(comparison: Json, p: float | None) -> bool | None:
    """Say whether the model is better, or worse; None where that may be chance."""
    found = comparison["difference"]
    if not known(found) or found["low"] <= 0 <= found["high"] or (p is not None and p >= SURE):
        return None
    return (found["low"] > 0) == HIGHER_IS_BETTER[comparison["metric"]]


def _on_the_same(beside: Sequence[Json], attack: str) -> Iterator[str]:
    """Yield what became of the other metrics on the prompts of the primary comparison."""
    told = []
    for one in beside:
        if one["attack"] == attack:
            better = _direction(one, one.get("p_holm"))
            name = METRIC_NAMES[one["metric"]]
            told.append(
                f"{name} {_moved(one)} {points(one['difference']).interval}, {_HOW[better]}"
            )
    if told:
        yield f"On the same prompts: {'; '.join(told)}."


def _under_attacks(beside: Sequence[Json]) -> Iterator[str]:
    """Yield on how many attacks each metric is better, worse or not told apart."""
    counts: dict[str, Counter[bool | None]] = {}
    for one in beside:
        if one["attack"] != PLAIN:
            better = _direction(one, one.get("p_holm"))
            counts.setdefault(one["metric"], Counter())[better] += 1
    if counts:
        told = [
            f"{METRIC_NAMES[metric]} "
            + ", ".join(f"{how} on {found[kind]}" for kind, how in _HOW.items() if found[kind])
            for metric, found in counts.items()
        ]
        most = max(found.total() for found in counts.values())
        yield f"Of {most} attacks: {'; '.join(told)}."


def _changes(files: RunFiles, suite: str) -> list[str]:
    """Return one sentence a student: its plain prompts of one suite beside the first model's."""
    names = list(files.results)
    plain = {
        model: group
        for model, results in files.results.items()
        for group in results["groups"]
        if (group["suite"], group["attack"]) == (suite, PLAIN)
    }
    judge = headline_judge(files)
    return [
        f"{model} beside {names[0]}: {_side_by_side(plain[names[0]], plain[model], judge)}."
        for model in names[1:]
        if model in plain and names[0] in plain
    ]


def _side_by_side(before: Json, after: Json, judge: str) -> str:
    asr = asr_name(judge) if judge != RULES else "ASR (rule proxy)"
    texts = {
        asr: [percent(asr_of(one, judge)).text for one in (before, after)],
        "over-refusal": [percent(over_refusal_of(one)).text for one in (before, after)],
        "discrimination": [points(one["discrimination"]).text for one in (before, after)],
        "degenerate answers": [
            share(found["value"]) if (found := degenerate_of(one)) else "-"
            for one in (before, after)
        ],
    }
    return listed([f"{name} {old} to {new}" for name, (old, new) in texts.items()])
