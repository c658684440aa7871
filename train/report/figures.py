"""Geometry of the report's small figures; `figures.html` draws them as inline SVG.

Every figure has a title, a description in words and a table beside it with its numbers.
Series differ in colour, dash and marker at once, so that none of these alone carries meaning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 330, 270
LEFT, RIGHT, TOP, BOTTOM = 52, 96, 14, 44  # RIGHT leaves room for the series' names
NUM_STYLES = 6
_MARKER_PX = 4.5
_LABEL_PX = 12  # least distance of two names


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together, in data units."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`: linear, or equally far for every doubling."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    doubling: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis `value` stands, 0 to 1."""
        if self.doubling:
            return math.log2(value / self.low) / math.log2(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Point:
    """A marker and where it stands, in pixels."""

    x: float
    y: float
    path: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series in pixels.

    Attributes:
        style: Number of its colour, dash and marker.
        label_y: Where its name stands.
        line: SVG path through its points, empty for one point.
    """

    name: str
    style: int
    points: Sequence[Point]
    label_y: float
    line: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, ready to draw.

    Attributes:
        title: What it shows.
        description: The same in words, for those who do not see it.
        arrows: Lines from each series' last point to the next one's first.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    series: Sequence[Drawn]
    arrows: Sequence[str]


def line_figure(title: str, description: str, x: Axis, y: Axis, series: Sequence[Series]) -> Figure:
    """Return a chart of lines; the name of each stands at its end."""
    return _figure(title, description, x, y, series, arrows=False)


def arrow_figure(
    title: str, description: str, x: Axis, y: Axis, series: Sequence[Series]
) -> Figure:
    """Return a chart of one point a series, joined by arrows in their order."""
    return _figure(title, description, x, y, series, arrows=True)


def share_axis(label: str) -> Axis:
    """Return an axis of shares from 0 to 100 %."""
    return Axis(label, 0, 1, [(tick / 4, f"{25 * tick} %") for tick in range(5)])


def doubling_axis(label: str, sizes: Sequence[int]) -> Axis:
    """Return an axis of doublings from 1 on, with a tick at every size."""
    ticks = [(float(size), str(size)) for size in sizes]
    return Axis(label, 1, max(2.0, *sizes), ticks, doubling=True)


def number_axis(label: str, values: Sequence[float], low: float | None = None) -> Axis:
    """Return an axis that holds `values`, with five round ticks or fewer."""
    low = min(values) if low is None else low
    span = max(max(values) - low, 1e-9)
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil((low + span) / step)
    ticks = [(count * step, f"{count * step:g}") for count in range(first, last + 1)]
    return Axis(label, ticks[0][0], ticks[-1][0], ticks)


def _figure(
    title: str, description: str, x: Axis, y: Axis, series: Sequence[Series], *, arrows: bool
) -> Figure:
    placed = [[(_x(x, px), _y(y, py)) for px, py in one.points] for one in series]
    label_ys = _spread([points[-1][1] for points in placed])
    return Figure(
        title=title,
        description=description,
        x=x,
        y=y,
        x_ticks=[(_x(x, value), text) for value, text in x.ticks],
        y_ticks=[(_y(y, value), text) for value, text in y.ticks],
        series=[
            Drawn(
                name=one.name,
                style=index % NUM_STYLES,
                points=[Point(px, py, _marker(index % 3, px, py)) for px, py in points],
                label_y=label_y,
                line=_path(points) if len(points) > 1 else "",
            )
            for index, (one, points, label_y) in enumerate(
                zip(series, placed, label_ys, strict=True)
            )
        ],
        arrows=[_arrow(a[-1], b[0]) for a, b in pairwise(placed)] if arrows else [],
    )


def _x(axis: Axis, value: float) -> float:
    return round(LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x} {y}" for x, y in points)


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a line that stops short of the markers, or nothing where they touch."""
    length = math.dist(start, end)
    gap = 2 * _MARKER_PX
    if length <= 2 * gap:
        return ""
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tail = round(start[0] + gap * dx, 1), round(start[1] + gap * dy, 1)
    head = round(end[0] - gap * dx, 1), round(end[1] - gap * dy, 1)
    return _path([tail, head])


def _marker(shape: int, x: float, y: float) -> str:
    """Return the path of a disc, a square or a triangle around a point."""
    r = _MARKER_PX
    if shape == 0:
        return f"M{x - r} {y} a{r} {r} 0 1 0 {2 * r} 0 a{r} {r} 0 1 0 {-2 * r} 0 Z"
    if shape == 1:
        return f"M{x - r} {y - r} h{2 * r} v{2 * r} h{-2 * r} Z"
    return f"M{x} {y - 1.2 * r} L{x + 1.2 * r} {y + r} L{x - 1.2 * r} {y + r} Z"


def _spread(heights: Sequence[float]) -> list[float]:
    """Move heights down until none is nearer than a line of text to the one above."""
    moved = list(heights)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + _LABEL_PX)
    return [round(height, 1) for height in moved]
