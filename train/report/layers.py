"""What the representation analysis shows: harm in the hidden states, layer by layer."""

from collections.abc import Sequence
from statistics import fmean

from train.report.charts import NamedFigure
from train.report.figures import Axis, Figure, Series, line_figure, number_axis, scatter_figure
from train.report.read import RunFiles
from train.report.tables import (
    FAMILY_STYLES,
    HARMFUL_STYLE,
    HELPFUL_STYLE,
    NONE,
    Json,
    Table,
    TableCell,
    TableRow,
    known,
    score,
    share,
    style_of,
)

ID = "id"
_AUC_TICKS = [(tick / 10, f"{tick / 10:.1f}") for tick in range(3, 11)]


def family_style(found: Json, family: str) -> int:
    """Return the number of a family's colour and shape."""
    return FAMILY_STYLES[_families(found).index(family) % len(FAMILY_STYLES)]


def layer_keys(found: Json) -> list[tuple[str, int]]:
    """Return what the marks of the planes mean."""
    return [
        ("harmful, in distribution", HARMFUL_STYLE),
        ("helpful, in distribution", HELPFUL_STYLE),
        *((f"harmful, {family}", family_style(found, family)) for family in _families(found)),
    ]


def separation_figures(files: RunFiles) -> list[NamedFigure]:
    """Return how well each layer tells harmful from helpful prompts, a line a model."""
    found = files.representation
    if not found:
        return []
    series = [_separation(files, name, model["layers"]) for name, model in found["models"].items()]
    shown = [one for one in series if one.points]
    told = "; ".join(
        f"{one.name}: from {one.points[0][1]:.2f} at layer {one.points[0][0]:.0f} to "
        f"{one.points[-1][1]:.2f} at layer {one.points[-1][0]:.0f}"
        for one in shown
    )
    control = _control(found)
    figure = line_figure(
        "Separation of harmful from helpful prompts by layer",
        "AUC of a probe on held-out prompts in distribution, with 95 % bands, and the spread of "
        f"probes on shuffled labels over all models. {told}.",
        number_axis("Layer", found["layers"], whole=True),
        Axis("AUC, harmful from helpful", 0.3, 1.0, _AUC_TICKS),
        [*shown, *([control] if control else [])],
    )
    return [NamedFigure("Separation in distribution", figure)]


def position_figures(files: RunFiles) -> list[NamedFigure]:
    """Return where each family's harmful prompts lie on the harmful axis, a figure a model."""
    found = files.representation
    by_model = {
        name: [_position(found, family, model["layers"]) for family in _families(found)]
        for name, model in found.get("models", {}).items()
    }
    values = [y for series in by_model.values() for one in series for _, y in one.points]
    if not values:
        return []
    axis = number_axis("Position: 0 helpful, 1 harmful", [*values, 0.0, 1.0])
    return [
        NamedFigure(name, _positions(name, axis, found["layers"], shown))
        for name, series in by_model.items()
        if (shown := [one for one in series if one.points])
    ]


def plane_scatters(files: RunFiles) -> list[NamedFigure]:
    """Return the plane of each model, side by side: where attacked prompts come to lie."""
    found = files.representation
    figures = []
    for name, model in found.get("models", {}).items():
        clouds: dict[int, list[tuple[float, float]]] = {}
        for points in model["plane"]["points"]:
            style = _plane_style(found, points)
            if style is not None:
                clouds.setdefault(style, []).extend(zip(points["x"], points["y"], strict=True))
        if clouds:
            first, second = (share(part) for part in model["plane"]["explained"])
            figure = scatter_figure(
                f"Hidden states of {name} at layer {found['chosen_layer']}",
                "Principal plane of the prompts in distribution; attacked harmful prompts are "
                f"projected into it. {_axis_sentence(found, name)}",
                (f"Component 1 ({first} of variance)", f"Component 2 ({second})"),
                dict(sorted(clouds.items())),
            )
            figures.append(NamedFigure(name, figure))
    return figures


def layer_table(files: RunFiles) -> Table:
    """Return the numbers of the chosen layer, a model and family a row."""
    found = files.representation
    rows = []
    for name, model in found.get("models", {}).items():
        layer = _chosen(found, model)
        separation = layer["separation"]["auc"]
        group = (
            f"{name}: AUC in distribution {score(separation).text} "
            f"{score(separation).interval}, shuffled labels {_spread(layer['control']['auc'])}"
        )
        for family, of in layer["families"].items():
            place = of["position"] or {}
            cells = [
                score(place.get("harmful")),
                score(place.get("benign")),
                TableCell(
                    text=_number(of["gap"]), interval=f"shuffled {_spread(of['gap_control'])}"
                ),
                score(of["distance"]),
                score(of["left_out"]["auc"]),
            ]
            style = family_style(found, family)
            rows.append(TableRow(header=family, cells=cells, group=group, style=style))
    return Table(
        caption=f"At layer {found.get('chosen_layer')}, chosen on {found.get('chosen_on')} in "
        "distribution. Position: 0 is the mean of helpful prompts in distribution, 1 that of "
        "harmful ones. Distance: how well a classifier tells the family's harmful prompts from "
        "those in distribution, 0 not at all, 2 always.",
        columns=[
            "Family",
            "Position, harmful",
            "Position, benign",
            "Gap, in d'",
            "Distance from in distribution",
            "AUC, family left out",
        ],
        rows=rows,
    )


def _families(found: Json) -> list[str]:
    return list(
        dict.fromkeys(one["family"] for one in found.get("groups", []) if one["family"] != ID)
    )


def _separation(files: RunFiles, name: str, layers: Sequence[Json]) -> Series:
    found = [(one["layer"], one["separation"]["auc"]) for one in layers]
    kept = [(layer, auc) for layer, auc in found if known(auc)]
    return Series(
        name,
        [(float(layer), float(auc["value"])) for layer, auc in kept],
        style_of(files, name),
        band=[(float(auc["low"]), float(auc["high"])) for _, auc in kept],
    )


def _control(found: Json) -> Series | None:
    """Return one line for the shuffled labels of all models, in a band that holds all of them."""
    points, band = [], []
    for place, layer in enumerate(found["layers"]):
        spreads = [model["layers"][place]["control"]["auc"] for model in found["models"].values()]
        spreads = [one for one in spreads if one["mean"] is not None]
        if spreads:
            points.append((float(layer), fmean(one["mean"] for one in spreads)))
            band.append((min(one["low"] for one in spreads), max(one["high"] for one in spreads)))
    return Series("shuffled", points, HELPFUL_STYLE, band) if points else None


def _position(found: Json, family: str, layers: Sequence[Json]) -> Series:
    points = []
    for one in layers:
        place = (one["families"].get(family) or {}).get("position")
        if place and known(place["harmful"]):
            points.append((float(one["layer"]), float(place["harmful"]["value"])))
    return Series(family, points, family_style(found, family))


def _positions(name: str, axis: Axis, layers: Sequence[int], series: Sequence[Series]) -> Figure:
    told = "; ".join(f"{one.name}: {one.points[-1][1]:.2f} at the last layer" for one in series)
    return line_figure(
        f"Position of harmful prompts on the harmful axis: {name}",
        f"By layer, a line a family; 0 is the mean of helpful prompts, 1 of harmful ones. {told}.",
        number_axis("Layer", layers, whole=True),
        axis,
        series,
    )


def _plane_style(found: Json, points: Json) -> int | None:
    if points["family"] == ID:
        return HARMFUL_STYLE if points["label"] == "harmful" else HELPFUL_STYLE
    return family_style(found, points["family"]) if points["label"] == "harmful" else None


def _axis_sentence(found: Json, name: str) -> str:
    layer = _chosen(found, found["models"][name])
    parts = [
        f"{family}: position {score(of['position']['harmful']).text}"
        for family, of in layer["families"].items()
        if of["position"] and known(of["position"]["harmful"])
    ]
    return f"On the harmful axis, {'; '.join(parts)}." if parts else "No axis could be drawn."


def _chosen(found: Json, model: Json) -> Json:
    return next(one for one in model["layers"] if one["layer"] == found["chosen_layer"])


def _spread(found: Json) -> str:
    if found["mean"] is None:
        return NONE
    return f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"
