"""Numbers as people read them, in tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.report.read import RunFiles

Json = Mapping[str, Any]

NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value, and in a smaller hand what qualifies it."""

    text: str
    interval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first cell of each row is its header.

    Attributes:
        caption: What it shows, a sentence.
        columns: Headers, the row headers' own first.
        rows: Row header and cells.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def percent(found: Json | None) -> Cell:
    """Return an estimate of a share, with its interval."""
    if not found or found["value"] is None:
        return Cell(text=NONE)
    value, low, high = (f"{100 * found[key]:.1f}" for key in ("value", "low", "high"))
    return Cell(text=f"{value} %", interval=f"[{low}, {high}]")


def points(found: Json | None) -> Cell:
    """Return an estimate of a difference of shares in percentage points."""
    if not found or found["value"] is None:
        return Cell(text=NONE)
    value, low, high = (f"{100 * found[key]:+.1f}" for key in ("value", "low", "high"))
    return Cell(text=value, interval=f"[{low}, {high}]")


def number(value: object) -> Cell:
    """Return a count or a mean, thousands apart."""
    if isinstance(value, int | float):
        return Cell(text=f"{value:,}")
    return Cell(text=NONE if value is None else str(value))


def group_name(group: Json) -> str:
    """Return how a group of prompts is called: its suite, and how it is attacked."""
    if group["attack"] == "plain":
        return f"{group['suite']}, plain"
    return f"{group['suite']}, {group['attack']} ({group['family']})"


def groups_of(files: RunFiles) -> list[tuple[str, dict[str, Json]]]:
    """Return every group of prompts with each model's results on it."""
    found: dict[str, dict[str, Json]] = {}
    for model, results in files.results.items():
        for group in results["groups"]:
            found.setdefault(group_name(group), {})[model] = group
    return list(found.items())


def safety_table(name: str, models: Mapping[str, Json]) -> Table:
    """Return what matters of one group, a model a row: harm never without over-refusal."""
    rows = []
    for model, group in models.items():
        labels = group["labels"]
        harmful, benign, borderline = (
            labels.get(label, {}) for label in ("harmful", "benign", "borderline")
        )
        cells = [
            percent(harmful.get("asr_rule")),
            percent(benign.get("over_refusal_full")),
            percent(benign.get("over_refusal")),
            percent(borderline.get("over_refusal")),
            points(group["discrimination"]),
            points(group["youden"]),
        ]
        rows.append((model, cells))
    return Table(
        caption=f"{name}: refusing what is harmful, answering what is not.",
        columns=[
            "Model",
            "ASR (rule proxy, upper bound)",
            "Over-refusal, benign (full)",
            "Over-refusal, benign (full and partial)",
            "Over-refusal, borderline (full and partial)",
            "Discrimination, points",
            "Youden's J, points",
        ],
        rows=rows,
    )


def quality_table(name: str, models: Mapping[str, Json]) -> Table:
    """Return what could make the safety numbers misleading, a model and label a row."""
    rows = []
    for model, group in models.items():
        for label, found in group["labels"].items():
            bounds = found.get("asr_rule", found.get("over_refusal", {})).get("bounds")
            shares = found["shares"]
            cells = [
                number(found["prompts"]),
                number(found["answers"]),
                number(found["undetermined"]),
                Cell(text="{:.1f} to {:.1f} %".format(*(100 * end for end in bounds))),
                percent(shares["truncated"]),
                percent(shares["degenerate"]),
                percent(shares["valid"]),
                percent(shares["well_formed"]),
                percent(shares["reasoning_closed"]),
                number(found["mean_reasoning_words"]),
                number(found["mean_output_tokens"]),
            ]
            rows.append((f"{model}, {label}", cells))
    return Table(
        caption=f"{name}: how many, how complete, how readable. Bounds: ASR (harmful) or "
        "over-refusal (others) with every undetermined answer counted safe or unsafe.",
        columns=[
            "Model, label",
            "Prompts",
            "Answers",
            "Undetermined",
            "Bounds",
            "Truncated",
            "Degenerate",
            "Reads as language",
            "Reasoning, closed, one answer",
            "Reasoning closed",
            "Mean words of reasoning",
            "Mean tokens",
        ],
        rows=rows,
    )


def change_table(comparison: Json) -> Table:
    """Return the comparisons that were not fixed beforehand."""
    rows = []
    for one in comparison.get("others", []):
        cells = [
            Cell(text=one["metric"]),
            Cell(text=f"{one['suite']}, {one['attack']}"),
            points(one["difference"]),
            number(one["prompts"]),
            Cell(text=p_value(one.get("p_holm"))),
            Cell(text=detectable(one)),
        ]
        rows.append((f"{one['model']} vs {one['baseline']}", cells))
    return Table(
        caption="Every other comparison, paired by prompt; p adjusted for their number (Holm).",
        columns=[
            "Models",
            "Metric",
            "Prompts asked",
            "Difference, points",
            "Prompts",
            "p (Holm)",
            "Detectable, points",
        ],
        rows=rows,
    )


def macro_table(files: RunFiles) -> Table:
    """Return the means over attack families' transforms, each counting alike."""
    rows = [
        (
            f"{model}, {macro['suite']}",
            [
                percent(macro["asr_rule"]),
                percent(macro["over_refusal"]),
                points(macro["discrimination"]),
            ],
        )
        for model, results in files.results.items()
        for macro in results["macro"]
        if "asr_rule" in macro
    ]
    return Table(
        caption="Mean over the attacks, each counting alike.",
        columns=[
            "Model, suite",
            "ASR (rule proxy, upper bound)",
            "Over-refusal, benign (full and partial)",
            "Discrimination, points",
        ],
        rows=rows,
    )


def curve_table(name: str, models: Mapping[str, Json]) -> Table:
    """Return both curves over N of one group."""
    rows = [
        (f"{model}, {curve}@{point['n']}", [percent(point), number(point["prompts"])])
        for model, group in models.items()
        for curve in ("all_unsafe", "any_unsafe")
        for point in group["labels"].get("harmful", {}).get(curve, [])
    ]
    return Table(
        caption=f"{name}: share of harmful prompts on which all, or any, of N answers are unsafe.",
        columns=["Model, curve", "Share", "Prompts with N determined answers"],
        rows=rows,
    )


def acceptance_table(policy: str, manifest: Json) -> Table:
    """Return how many traces became training data, an arm and label a row."""
    counts: dict[tuple[str, str], list[int]] = {}
    for part in manifest["acceptance"]:
        total = counts.setdefault((part["arm"], part["label"]), [0, 0])
        total[0] += part["traces"]
        total[1] += part["accepted"]
    rows = [
        (
            f"{arm}, {label}",
            [number(traces), number(accepted), Cell(text=f"{100 * accepted / traces:.1f} %")],
        )
        for (arm, label), (traces, accepted) in sorted(counts.items())
    ]
    return Table(
        caption=f"Traces accepted under the policy {policy}.",
        columns=["Arm, label", "Traces", "Accepted", "Share"],
        rows=rows,
    )


def drops_table(policy: str, manifest: Json) -> Table:
    """Return how many traces each reason dropped, an arm a column."""
    drops = manifest["drops"]
    totals: Counter[str] = Counter()
    for by_reason in drops.values():
        totals.update(by_reason)
    rows = [
        (reason, [number(by_reason.get(reason, 0)) for by_reason in drops.values()])
        for reason, _ in totals.most_common()
    ]
    return Table(
        caption=f"Traces dropped under the policy {policy}, by their first reason.",
        columns=["Reason", *drops],
        rows=rows,
    )


def p_value(p: float | None) -> str:
    """Return a p-value as papers print it."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def detectable(comparison: Json) -> str:
    """Return the difference that so many prompts would find with 80 % power."""
    found = comparison["detectable"]
    return NONE if found is None else f"{100 * found:.1f}"
