"""Which figures the report shows, made from its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.report.figures import (
    Figure,
    Series,
    arrow_figure,
    doubling_axis,
    line_figure,
    number_axis,
    share_axis,
)
from train.report.read import RunFiles
from train.report.tables import groups_of, percent

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """A figure and the group of prompts, or the arm, that it is about."""

    name: str
    figure: Figure


def plane_figures(files: RunFiles) -> list[NamedFigure]:
    """Return ASR against over-refusal, a figure a group, the models joined by arrows."""
    return [
        NamedFigure(name, _plane(name, series))
        for name, models in groups_of(files)
        if (series := _plane_points(models))
    ]


def curve_figures(files: RunFiles) -> list[NamedFigure]:
    """Return all_unsafe@N, a figure a group, a line a model."""
    return [
        NamedFigure(name, _curve(name, series))
        for name, models in groups_of(files)
        if (series := _curve_points(models))
    ]


def loss_figures(files: RunFiles) -> list[NamedFigure]:
    """Return the loss over the steps of training, a figure an arm."""
    found = []
    for arm, manifest in files.models.items():
        curves = [
            Series(name, [(float(one["step"]), float(one[key])) for one in manifest.get(key, [])])
            for name, key in (("training", "loss"), ("held out", "eval_loss"))
        ]
        series = [curve for curve in curves if curve.points]
        if series:
            found.append(NamedFigure(arm, _loss(arm, series)))
    return found


def _plane_points(models: Mapping[str, Json]) -> list[Series]:
    series = []
    for model, group in models.items():
        asr = group["labels"].get("harmful", {}).get("asr_rule", {}).get("value")
        refused = group["labels"].get("benign", {}).get("over_refusal", {}).get("value")
        if asr is not None and refused is not None:
            series.append(Series(model, [(refused, asr)]))
    return series


def _plane(name: str, series: Sequence[Series]) -> Figure:
    told = "; ".join(
        f"{one.name}: over-refusal {_share(one.points[0][0])}, ASR {_share(one.points[0][1])}"
        for one in series
    )
    return arrow_figure(
        f"ASR against over-refusal, {name}",
        f"Arrows lead from the base model to each student in turn. Best is the corner at the "
        f"lower left. {told}.",
        share_axis("Over-refusal of benign prompts"),
        share_axis("ASR (rule proxy)"),
        series,
    )


def _curve_points(models: Mapping[str, Json]) -> list[Series]:
    series = []
    for model, group in models.items():
        points = group["labels"].get("harmful", {}).get("all_unsafe", [])
        drawn = [(float(p["n"]), float(p["value"])) for p in points if p["value"] is not None]
        if drawn:
            series.append(Series(model, drawn))
    return series


def _curve(name: str, series: Sequence[Series]) -> Figure:
    sizes = sorted({int(n) for one in series for n, _ in one.points})
    told = "; ".join(
        f"{one.name}: " + ", ".join(f"{_share(value)} at {n:.0f}" for n, value in one.points)
        for one in series
    )
    return line_figure(
        f"all_unsafe@N, {name}",
        f"Share of harmful prompts on which all N answers are unsafe, by N. {told}.",
        doubling_axis("N, answers drawn", sizes),
        share_axis("all_unsafe@N (rule proxy)"),
        series,
    )


def _loss(arm: str, series: Sequence[Series]) -> Figure:
    told = "; ".join(
        f"{one.name}: from {one.points[0][1]:.3f} to {one.points[-1][1]:.3f}" for one in series
    )
    steps = [step for one in series for step, _ in one.points]
    losses = [loss for one in series for _, loss in one.points]
    return line_figure(
        f"Loss of {arm}",
        f"Loss over the steps of training. {told}.",
        number_axis("Step", steps, low=0.0),
        number_axis("Loss", losses, low=0.0),
        series,
    )


def _share(value: float) -> str:
    return percent({"value": value, "low": value, "high": value}).text
