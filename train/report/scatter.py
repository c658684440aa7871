"""Geometry of the scatter plot: points of several classes in one plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from train.report.axes import Axis, Frame
from train.report.figures import marker

SCATTER_FRAME = Frame(width=340, height=300, left=8, right=8, top=22, bottom=32)
_RADIUS_PX = 3.0
_MARGIN = 0.05  # of the plane's width, around the points


@dataclass(frozen=True, slots=True)
class Dot:
    """A point in pixels."""

    style: int
    path: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """A scatter plot, ready to draw."""

    title: str
    description: str
    frame: Frame
    x: Axis
    y: Axis
    x_ticks: Sequence[tuple[float, str]]
    dots: Sequence[Dot]


def scatter_figure(
    title: str,
    description: str,
    labels: tuple[str, str],
    clouds: Mapping[int, Sequence[tuple[float, float]]],
) -> Scatter:
    """Return a scatter plot without ticks, for planes whose units mean nothing.

    Args:
        title: What it shows.
        description: The same in words.
        labels: Of the axes.
        clouds: The points of each style, drawn in this order.
    """
    every = [point for points in clouds.values() for point in points]
    x, y = (_axis(label, [point[i] for point in every]) for i, label in enumerate(labels))
    dots = [
        Dot(style, marker(style, SCATTER_FRAME.x(x, px), SCATTER_FRAME.y(y, py), _RADIUS_PX))
        for style, points in clouds.items()
        for px, py in points
    ]
    return Scatter(title, description, SCATTER_FRAME, x, y, [], dots)


def _axis(label: str, values: Sequence[float]) -> Axis:
    span = max(max(values) - min(values), 1e-9)
    return Axis(label, min(values) - _MARGIN * span, max(values) + _MARGIN * span, [])
