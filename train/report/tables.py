"""The tables on safety: harm never stands without over-refusal, discrimination, garbled text."""

from collections.abc import Mapping
from dataclasses import dataclass

from train.evals.attacks import PLAIN
from train.evals.records import RULES
from train.report.cells import NONE, Cell, Json, Row, Table, number, percent, points
from train.report.groups import (
    asr_name,
    asr_of,
    attacks_of,
    degenerate_of,
    group_name,
    groups_of,
    headline_judge,
    macro_asr,
    over_refusal_of,
    style_of,
    suites_of,
)
from train.report.read import RunFiles


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


def corrected(asr: Json) -> Cell:
    """Return the error-corrected ASR of one judge, or why there is none."""
    found = asr["corrected"]
    if found is None and asr["proxy"]:
        return Cell(text=NONE, interval="not for a proxy")
    if found is None:
        return Cell(text="", stamp="uncertified")
    if found["refused"]:
        return Cell(text="", stamp="not corrected", interval=str(found["refused"]))
    return percent(found)


def _plain_row(files: RunFiles, model: str, group: Json, judge: str) -> Row:
    asr = group["labels"].get("harmful", {}).get("asr", {}).get(judge, {})
    cells = [
        percent(asr.get("sampled")),
        percent(over_refusal_of(group)),
        points(group["discrimination"]),
        percent(degenerate_of(group)),
        corrected(asr) if asr else Cell(text=NONE),
    ]
    name = group_name(group)
    return Row(header=model, cells=cells, group=name, style=style_of(files, model))


def _macro_row(files: RunFiles, model: str, results: Json, macro: Json, judge: str) -> Row:
    attacks = attacks_of(results, macro["suite"])
    cells = [
        percent(macro_asr(macro, judge)),
        percent(macro["over_refusal"]),
        points(macro["discrimination"]),
        percent(macro["degenerate"]),
        Cell(text=NONE),
    ]
    families = len({group["family"] for group in attacks})
    name = f"{macro['suite']}, mean over {families} families of attacks, each counting alike"
    return Row(header=model, cells=cells, group=name, style=style_of(files, model))


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
        rows.append(Row(header=model, cells=cells, style=style_of(files, model)))
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
        Row(
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
                Cell(text=bounds(rate)),
                *(percent(found["shares"].get(kind)) for kind in shares),
                number(found["mean_reasoning_words"]),
                number(found["mean_output_tokens"]),
            ]
            header = f"{model}, {label}"
            rows.append(Row(header=header, cells=cells, style=style_of(files, model)))
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
        Row(
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
