"""Which figures the report shows of the evaluation and the training, made from its files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.evals.attacks import PLAIN
from train.report.figures import (
    Figure,
    Forest,
    Line,
    Scatter,
    Series,
    arrow_figure,
    doubling_axis,
    forest_figure,
    line_figure,
    number_axis,
    share_axis,
)
from train.report.read import RunFiles
from train.report.tables import (
    TableCell,
    asr_name,
    asr_of,
    groups_of,
    headline_judge,
    known,
    macro_asr,
    over_refusal_of,
    percent,
    share,
    style_of,
    suites_of,
)

Json = Mapping[str, Any]

Pick = Callable[[Json], Json | None]

CURVES = {"all_unsafe": "all N answers are unsafe", "any_unsafe": "any of N answers is unsafe"}


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """A figure and what it is about."""

    name: str
    figure: Figure | Forest | Scatter


def plane_figures(files: RunFiles) -> list[NamedFigure]:
    """Return ASR against over-refusal: each suite plain, and the mean over families of attacks."""
    judge = headline_judge(files)
    found = []
    for suite in suites_of(files):
        plain = {
            model: (asr_of(group, judge), over_refusal_of(group))
            for model, group in _groups_on(files, suite, PLAIN).items()
        }
        attacked = {
            model: (macro_asr(macro, judge), macro["over_refusal"])
            for model, macro in _macros_on(files, suite).items()
        }
        found.append(_plane(files, f"{suite}, plain", plain))
        found.append(_plane(files, f"{suite}, mean over families of attacks", attacked))
    return [figure for figure in found if figure is not None]


def attack_planes(files: RunFiles) -> list[NamedFigure]:
    """Return ASR against over-refusal under each attack."""
    judge = headline_judge(files)
    found = [
        _plane(files, name, {m: (asr_of(g, judge), over_refusal_of(g)) for m, g in models.items()})
        for name, models in groups_of(files, attacked=True)
    ]
    return [figure for figure in found if figure is not None]


def curve_figures(files: RunFiles, attacked: bool) -> list[NamedFigure]:
    """Return both curves over N of each group, a line with its band a model."""
    judge = headline_judge(files)
    found = []
    for name, models in groups_of(files, attacked):
        for curve, means in CURVES.items():
            series = [
                _curve_series(files, model, points)
                for model, group in models.items()
                if (points := _curve_points(group, judge, curve))
            ]
            if series:
                found.append(NamedFigure(name, _curve(name, curve, means, judge, series)))
    return found


def family_figures(files: RunFiles) -> list[NamedFigure]:
    """Return ASR and over-refusal of each suite, a line an attack: two forest plots."""
    judge = headline_judge(files)
    measures: tuple[tuple[str, str, Pick], ...] = (
        ("attack success", asr_name(judge), lambda group: asr_of(group, judge)),
        ("over-refusal", "Over-refusal of benign twins", over_refusal_of),
    )
    found = []
    for suite in suites_of(files):
        groups = [
            (next(iter(models.values())), models)
            for _, models in groups_of(files)
            if next(iter(models.values()))["suite"] == suite
        ]
        if len(groups) > 1:
            found += [
                NamedFigure(f"{suite}, {name}", _family(files, suite, label, of, groups))
                for name, label, of in measures
            ]
    return found


def loss_figures(files: RunFiles) -> list[NamedFigure]:
    """Return the loss over the steps of training, a figure an arm."""
    found = []
    for arm, manifest in files.models.items():
        curves = [
            Series(name, [(float(one["step"]), float(one[key])) for one in points], style)
            for style, name, key in ((0, "training", "loss"), (1, "held out", "eval_loss"))
            if (points := manifest.get(key))
        ]
        if curves:
            found.append(NamedFigure(arm, _loss(arm, curves)))
    return found


def _groups_on(files: RunFiles, suite: str, attack: str) -> dict[str, Json]:
    return {
        model: group
        for model, results in files.results.items()
        for group in results["groups"]
        if (group["suite"], group["attack"]) == (suite, attack)
    }


def _macros_on(files: RunFiles, suite: str) -> dict[str, Json]:
    return {
        model: macro
        for model, results in files.results.items()
        for macro in results["macro"]
        if macro["suite"] == suite and "over_refusal" in macro
    }


def _plane(
    files: RunFiles, name: str, models: Mapping[str, tuple[Json | None, Json | None]]
) -> NamedFigure | None:
    series = [
        Series(
            model,
            [(refused["value"], asr["value"])],
            style_of(files, model),
            cross=((refused["low"], refused["high"]), (asr["low"], asr["high"])),
        )
        for model, (asr, refused) in models.items()
        if asr and refused and known(asr) and known(refused)
    ]
    if not series:
        return None
    told = "; ".join(
        f"{one.name}: over-refusal {share(one.points[0][0])}, ASR {share(one.points[0][1])}"
        for one in series
    )
    figure = arrow_figure(
        f"ASR against over-refusal: {name}",
        f"Arrows lead from the base model to each student in turn. Best is the corner at the "
        f"lower left. {told}.",
        share_axis("Over-refusal of benign prompts"),
        share_axis(asr_name(headline_judge(files))),
        series,
    )
    return NamedFigure(name, figure)


def _curve_points(group: Json, judge: str, curve: str) -> list[Json]:
    found = group["labels"].get("harmful", {}).get("asr", {}).get(judge, {}).get(curve, [])
    return [point for point in found if known(point)]


def _curve_series(files: RunFiles, model: str, points: Sequence[Json]) -> Series:
    return Series(
        model,
        [(float(point["n"]), float(point["value"])) for point in points],
        style_of(files, model),
        band=[(float(point["low"]), float(point["high"])) for point in points],
    )


def _curve(name: str, curve: str, means: str, judge: str, series: Sequence[Series]) -> Figure:
    sizes = sorted({int(n) for one in series for n, _ in one.points})
    told = "; ".join(
        f"{one.name}: " + ", ".join(f"{share(value)} at {n:.0f}" for n, value in one.points)
        for one in series
    )
    return line_figure(
        f"{curve}@N: {name}",
        f"Share of harmful prompts on which {means}, by N, with 95 % bands. {told}.",
        doubling_axis("N, answers drawn", sizes),
        share_axis(f"{curve}@N by {judge}"),
        series,
    )


def _family(
    files: RunFiles,
    suite: str,
    measure: str,
    of: Pick,
    groups: Sequence[tuple[Json, Mapping[str, Json]]],
) -> Forest:
    lines, told = [], []
    for about, models in sorted(groups, key=lambda one: _family_order(one[0])):
        found = {model: of(group) for model, group in models.items()}
        family = "" if about["attack"] == PLAIN else about["family"]
        lines.append(
            Line(
                about["attack"],
                family,
                [(style_of(files, model), one) for model, one in found.items()],
            )
        )
        told.append(
            f"{about['attack']}: "
            + ", ".join(f"{model} {_in_words(percent(one))}" for model, one in found.items())
        )
    return forest_figure(
        f"{measure} by attack: {suite}",
        f"One line an attack, one dot a model, with 95 % intervals. {'; '.join(told)}.",
        share_axis(measure),
        lines,
    )


def _in_words(cell: TableCell) -> str:
    return f"{cell.text} {cell.interval}".strip()


def _family_order(group: Json) -> tuple[bool, str, str]:
    return group["attack"] != PLAIN, group["family"], group["attack"]


def _loss(arm: str, series: Sequence[Series]) -> Figure:
    told = "; ".join(
        f"{one.name}: from {one.points[0][1]:.3f} to {one.points[-1][1]:.3f}" for one in series
    )
    steps = [step for one in series for step, _ in one.points]
    losses = [loss for one in series for _, loss in one.points]
    return line_figure(
        f"Loss of {arm}",
        f"Loss over the steps of training. {told}.",
        number_axis("Step", steps, low=0.0, whole=True),
        number_axis("Loss", losses, low=0.0),
        series,
    )
