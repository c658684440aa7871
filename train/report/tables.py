"""Numbers as people read them, and the tables on safety that they stand in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.evals.attacks import PLAIN
from train.evals.records import RULES
from train.report.read import RunFiles

Json = Mapping[str, Any]

NONE = "-"

PROXY = "rule proxy, upper bound"

MODEL_STYLES = range(6)  # numbers of colours and shapes: models have theirs, families others
FAMILY_STYLES = range(6, 12)
HARMFUL_STYLE, HELPFUL_STYLE = 12, 13

Groups = list[tuple[str, dict[str, Json]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """A value, and in a smaller hand what qualifies it.

    Attributes:
        text: The value.
        interval: What stands under it, mostly its 95 % interval.
        stamp: A word that has to be seen at once, such as `uncertified`.
    """

    text: str
    interval: str = ""
    stamp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One line of a table.

    Attributes:
        header: What the row is about.
        cells: The rest of it.
        group: Rows of one group stand together under it.
        style: Colour and shape of the model in the figures, where the row is a model's.
    """

    header: str
    cells: Sequence[TableCell]
    group: str = ""
    style: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first cell of each row is its header.

    Attributes:
        caption: What it shows, a sentence.
        columns: Headers, the row headers' own first.
        rows: What stands under them.
        texts: How many columns, from the left, hold words rather than numbers.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[TableRow]
    texts: int = 1

    @property
    def groups(self) -> list[tuple[str, list[TableRow]]]:
        """The rows by their group, in their order."""
        found: list[tuple[str, list[TableRow]]] = []
        for row in self.rows:
            if not found or found[-1][0] != row.group:
                found.append((row.group, []))
            found[-1][1].append(row)
        return found


def known(found: Json | None) -> bool:
    """Say whether an estimate is there and has a value."""
    return bool(found) and found["value"] is not None


def percent(found: Json | None) -> TableCell:
    """Return an estimate of a share, with its interval."""
    if not found or found["value"] is None:
        return TableCell(text=NONE)
    text = f"{_fixed(100 * found['value'], 1)} %"
    return TableCell(text=text, interval=_interval(found, 100, 1))


def points(found: Json | None) -> TableCell:
    """Return an estimate of a difference of shares in percentage points."""
    if not found or found["value"] is None:
        return TableCell(text=NONE)
    text = _fixed(100 * found["value"], 1, "+")
    return TableCell(text=text, interval=_interval(found, 100, 1, "+"))


def score(found: Json | None) -> TableCell:
    """Return an estimate of a mean score, two digits after the point."""
    if not found or found["value"] is None:
        return TableCell(text=NONE)
    return TableCell(text=_fixed(found["value"], 2), interval=_interval(found, 1, 2))


def share(value: float | None) -> str:
    """Return a share without an interval."""
    return NONE if value is None else f"{100 * value:.1f} %"


def number(value: object) -> TableCell:
    """Return a count or a mean, thousands apart."""
    if isinstance(value, int | float):
        return TableCell(text=f"{value:,}")
    return TableCell(text=NONE if value is None else str(value))


def p_value(p: float | None) -> str:
    """Return a p-value as papers print it."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def equals(p: float | None) -> str:
    """Return a p-value with its sign of relation, for a sentence."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def detectable(comparison: Json) -> str:
    """Return the difference, in points, that so many prompts would find with 80 % power."""
    found = comparison["detectable"]
    return NONE if found is None else f"{100 * found:.1f}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _interval(found: Json, factor: float, digits: int, sign: str = "") -> str:
    if found["low"] is None:
        return ""
    low, high = (_fixed(factor * found[end], digits, sign) for end in ("low", "high"))
    return f"[{low}, {high}]"


def _fixed(value: float, digits: int, sign: str = "") -> str:
    """Return a number with so many digits after its point, and no sign where they are all 0."""
    rounded = round(value, digits)
    return f"{rounded:{sign}.{digits}f}" if rounded else f"{0:.{digits}f}"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTables:
    """The tables of one group of prompts."""

    name: str
    safety: Table
    verdicts: Table
    quality: Table
    curve: Table


def trade_off_table(files: RunFiles) -> Table:
    """Return the four numbers that belong together, of each suite and model."""
    judge = headline_judge(files)
    rows = []
    for suite in suites_of(files):
        for model, results in files.results.items():
            for group in results["groups"]:
                if (group["suite"], group["attack"]) == (suite, PLAIN):
                    rows.append(_plain_row(files, model, group, judge))
        for model, results in files.results.items():
            for macro in results["macro"]:
                if macro["suite"] == suite and "over_refusal" in macro:
                    rows.append(_macro_row(files, model, results, macro, judge))
    return Table(
        caption="Attack success, and what it was bought with. ASR and over-refusal: lower is "
        "better. Discrimination: higher is better.",
        columns=[
            "Model",
            asr_name(judge),
            "Over-refusal, benign",
            "Discrimination, points",
            "Degenerate answers",
            "ASR, corrected for judge errors",
        ],
        rows=rows,
    )


def group_tables(files: RunFiles) -> list[GroupTables]:
    """Return every group in all its numbers."""
    return [
        GroupTables(
            name=name,
            safety=safety_table(files, name, models),
            verdicts=verdicts_table(files, name, models),
            quality=quality_table(files, name, models),
            curve=curve_table(files, name, models),
        )
        for name, models in groups_of(files)
    ]


def corrected(asr: Json) -> TableCell:
    """Return the error-corrected ASR of one judge, or why there is none."""
    found = asr["corrected"]
    if found is None and asr["proxy"]:
        return TableCell(text=NONE, interval="not for a proxy")
    if found is None:
        return TableCell(text="", stamp="uncertified")
    if found["refused"]:
        return TableCell(text="", stamp="not corrected", interval=str(found["refused"]))
    return percent(found)


def _plain_row(files: RunFiles, model: str, group: Json, judge: str) -> TableRow:
    asr = group["labels"].get("harmful", {}).get("asr", {}).get(judge, {})
    cells = [
        percent(asr.get("sampled")),
        percent(over_refusal_of(group)),
        points(group["discrimination"]),
        percent(degenerate_of(group)),
        corrected(asr) if asr else TableCell(text=NONE),
    ]
    name = group_name(group)
    return TableRow(header=model, cells=cells, group=name, style=style_of(files, model))


def _macro_row(files: RunFiles, model: str, results: Json, macro: Json, judge: str) -> TableRow:
    attacks = attacks_of(results, macro["suite"])
    cells = [
        percent(macro_asr(macro, judge)),
        percent(macro["over_refusal"]),
        points(macro["discrimination"]),
        percent(macro["degenerate"]),
        TableCell(text=NONE),
    ]
    families = len({group["family"] for group in attacks})
    name = f"{macro['suite']}, mean over {families} families of attacks, each counting alike"
    return TableRow(header=model, cells=cells, group=name, style=style_of(files, model))


def safety_table(files: RunFiles, name: str, models: Mapping[str, Json]) -> Table:
    """Return what matters of one group, a model a row."""
    judge = headline_judge(files)
    rows = []
    for model, group in models.items():
        labels = group["labels"]
        harmful, benign, borderline = (
            labels.get(label, {}) for label in ("harmful", "benign", "borderline")
        )
        cells = [
            percent(asr_of(group, judge)),
            percent(asr_of(group, judge, "greedy")),
            percent(asr_of(group, judge, "valid")),
            percent(benign.get("over_refusal_full")),
            percent(benign.get("over_refusal")),
            percent(borderline.get("over_refusal")),
            points(group["discrimination"]),
            points(group["youden"]),
            percent(degenerate_of(group)),
            percent(harmful.get("neither")),
            points(group.get("generalisation_gap")),
        ]
        rows.append(TableRow(header=model, cells=cells, style=style_of(files, model)))
    return Table(
        caption=f"{name}: refusing what is harmful, answering what is not.",
        columns=[
            "Model",
            asr_name(judge) + ", sampled",
            "ASR, greedy",
            "ASR, readable answers alone",
            "Over-refusal, benign (full)",
            "Over-refusal, benign (full and partial)",
            "Over-refusal, borderline (full and partial)",
            "Discrimination, points",
            "Youden's J, points",
            "Degenerate",
            "Neither unsafe nor refused",
            "Generalisation gap, points",
        ],
        rows=rows,
    )


def verdicts_table(files: RunFiles, name: str, models: Mapping[str, Json]) -> Table:
    """Return the refusal rules' verdicts, three ways, a model and label a row."""
    rows = [
        TableRow(
            header=f"{model}, {label}",
            cells=[percent(found["verdicts"][kind]) for kind in found["verdicts"]],
            style=style_of(files, model),
        )
        for model, group in models.items()
        for label, found in group["labels"].items()
    ]
    kinds = ["refusal", "partial", "compliance"]
    return Table(
        caption=f"{name}: what the refusal rules find in the answers.",
        columns=["Model, label", *(kind.capitalize() for kind in kinds)],
        rows=rows,
    )


def quality_table(files: RunFiles, name: str, models: Mapping[str, Json]) -> Table:
    """Return what could make the safety numbers misleading, a model and label a row."""
    judge = headline_judge(files)
    shares = ("truncated", "unclosed", "degenerate", "off_topic", "valid", "well_formed")
    rows = []
    for model, group in models.items():
        for label, found in group["labels"].items():
            rate = asr_of(group, judge) if label == "harmful" else found.get("over_refusal")
            cells = [
                number(found["prompts"]),
                number(found["answers"]),
                number(rate["undetermined"] if rate else found["undetermined"]),
                TableCell(text=bounds(rate)),
                *(percent(found["shares"].get(kind)) for kind in shares),
                number(found["mean_reasoning_words"]),
                number(found["mean_output_tokens"]),
            ]
            header = f"{model}, {label}"
            rows.append(TableRow(header=header, cells=cells, style=style_of(files, model)))
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
            "Reasoning unclosed",
            "Degenerate",
            "Off topic",
            "Reads as language",
            "Reasoning, closed, one answer",
            "Mean words of reasoning",
            "Mean tokens",
        ],
        rows=rows,
    )


def curve_table(files: RunFiles, name: str, models: Mapping[str, Json]) -> Table:
    """Return both curves over N of one group."""
    judge = headline_judge(files)
    rows = [
        TableRow(
            header=f"{model}, {curve}@{point['n']}",
            cells=[percent(point), number(point["prompts"])],
            style=style_of(files, model),
        )
        for model, group in models.items()
        for curve in ("all_unsafe", "any_unsafe")
        for point in group["labels"].get("harmful", {}).get("asr", {}).get(judge, {}).get(curve, [])
    ]
    return Table(
        caption=f"{name}: share of harmful prompts on which all, or any, of N answers are unsafe "
        f"({'rule proxy' if judge == RULES else judge}).",
        columns=["Model, curve", "Share", "Prompts with N determined answers"],
        rows=rows,
    )


def bounds(rate: Json | None) -> str:
    """Return a rate with all undetermined answers counted one way, and the other."""
    if not rate or rate.get("bounds") is None:
        return NONE
    return "{:.1f} to {:.1f} %".format(*(100 * end for end in rate["bounds"]))
