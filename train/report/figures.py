"""Geometry of the report's figures; `figures.html` draws them as inline SVG.

Every figure has a title, a description in words and a table on the page with its numbers.
Models differ in colour, dash and marker at once, so that none of these alone carries meaning.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from train.report.tables import Json, known

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 116, 22, 10, 40
_MARK_PX = 11  # from one model's dot to the next one's
_GAP_PX = 12  # from one line to the next
_MODEL_CHARACTERS = 17  # what the left margin holds

_RADIUS_PX = 3.0
_MARGIN = 0.05  # of the plane's width, around the points

MARKER_PX = 4.5
_LABEL_PX = 14  # least distance of two names
_LABEL_WIDTH_PX = 60
_RAISED_PX = 8.0  # of names beside points, off their whiskers
_LABEL_CHARACTERS = 11  # what the margin holds

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`: linear, or equally far for every doubling."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    doubling: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis `value` stands, 0 to 1; the nearer end where beyond."""
        if self.doubling:
            found = math.log2(value / self.low) / math.log2(self.high / self.low)
        else:
            found = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The size of a figure and its margins, in pixels."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def x_end(self) -> int:
        """Where the plot ends on the right."""
        return self.width - self.right

    @property
    def y_end(self) -> int:
        """Where the plot ends below."""
        return self.height - self.bottom

    def x(self, axis: Axis, value: float) -> float:
        """Return where `value` stands across."""
        return round(self.left + axis.share(value) * (self.x_end - self.left), 1)

    def y(self, axis: Axis, value: float) -> float:
        """Return where `value` stands from above."""
        return round(self.y_end - axis.share(value) * (self.y_end - self.top), 1)


def share_axis(label: str) -> Axis:
    """Return an axis of shares from 0 to 100 %."""
    return Axis(label, 0, 1, [(tick / 4, f"{25 * tick} %") for tick in range(5)])


def doubling_axis(label: str, sizes: Sequence[int]) -> Axis:
    """Return an axis of doublings from 1 on, with a tick at every size."""
    ticks = [(float(size), str(size)) for size in sizes]
    return Axis(label, 1, max(2.0, *sizes), ticks, doubling=True)


def number_axis(
    label: str, values: Sequence[float], low: float | None = None, whole: bool = False
) -> Axis:
    """Return an axis that holds `values`, with six round ticks or fewer.

    It ends at a tick; one of whole numbers ends at the last value.

    Args:
        label: What it measures.
        values: What has to fit.
        low: Where it begins; at the least value where None.
        whole: Ticks at whole numbers alone.
    """
    low = min(values) if low is None else low
    span = max(max(values) - low, 1.0 if whole else 1e-9)
    rough = max(span / 5, 1.0) if whole else span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil((low + span) / step)
    ticks = [(count * step, f"{count * step:g}") for count in range(first, last + 1)]
    if whole:
        inside = [tick for tick in ticks if low <= tick[0] <= low + span]
        return Axis(label, low, low + span, inside)
    return Axis(label, ticks[0][0], ticks[-1][0], ticks)


@dataclass(frozen=True, slots=True)
class Line:
    """One group of prompts.

    Attributes:
        name: Which.
        note: Said under it, in a smaller hand.
        found: The number of the model's style and its estimate.
    """

    name: str
    note: str
    found: Sequence[tuple[int, Json | None]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A dot and its interval, in pixels."""

    style: int
    path: str
    low: float
    high: float
    y: float


@dataclass(frozen=True, slots=True)
class LineLabel:
    """What stands left of a line, and the rule above it."""

    name: str
    note: str
    y: float
    rule_y: float


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest plot, ready to draw."""

    title: str
    description: str
    frame: Frame
    x: Axis
    x_ticks: Sequence[tuple[float, str]]
    labels: Sequence[LineLabel]
    marks: Sequence[Mark]


def forest_figure(title: str, description: str, x: Axis, lines: Sequence[Line]) -> Forest:
    """Return a forest plot; estimates without a value have no dot."""
    heights = [len(line.found) * _MARK_PX + _GAP_PX for line in lines]
    frame = Frame(
        width=_WIDTH,
        height=_TOP + sum(heights) + _BOTTOM,
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_BOTTOM,
    )
    labels, marks, y = [], [], float(_TOP)
    for line, height in zip(lines, heights, strict=True):
        labels.append(
            LineLabel(shortened(line.name, _MODEL_CHARACTERS), line.note, y + height / 2, y)
        )
        first = y + (_GAP_PX + _MARK_PX) / 2
        marks += [
            _mark(frame, x, style, found, first + place * _MARK_PX)
            for place, (style, found) in enumerate(line.found)
            if found is not None and known(found)
        ]
        y += height
    ticks = [(frame.x(x, value), text) for value, text in x.ticks]
    return Forest(title, description, frame, x, ticks, labels, marks)


def _mark(frame: Frame, x: Axis, style: int, found: Json, y: float) -> Mark:
    place = frame.x(x, found["value"])
    return Mark(
        style=style,
        path=marker(style, place, y, r=3.5),
        low=frame.x(x, found["low"]),
        high=frame.x(x, found["high"]),
        y=y,
    )


SCATTER_FRAME = Frame(width=340, height=300, left=8, right=8, top=22, bottom=32)


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


FRAME = Frame(width=340, height=256, left=46, right=78, top=32, bottom=42)


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together, in data units.

    Attributes:
        name: Stands at its last point.
        points: Where it goes.
        style: Number of its colour, dash and marker.
        band: Interval of each point's height, drawn behind the line; empty for none.
        cross: Intervals of a single point, across and upward, drawn as whiskers.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: int = 0
    band: Sequence[Range] = ()
    cross: tuple[Range, Range] | None = None


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
        label: Its name, cut to what the margin holds.
        label_y: Where that stands.
        line: SVG path through its points, empty for one point.
        band: SVG path around its intervals, or empty.
        whiskers: SVG path of a single point's intervals, or empty.
    """

    name: str
    label: str
    style: int
    points: Sequence[Point]
    label_y: float
    line: str
    band: str
    whiskers: str


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
    frame: Frame
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


def marker(style: int, x: float, y: float, r: float = MARKER_PX) -> str:
    """Return the path of a style's shape around a point."""
    shape = style % 6
    if shape == 0:  # disc
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    if shape == 1:  # square
        return f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}Z"
    wide, narrow = round(1.25 * r, 1), round(0.9 * r, 1)
    if shape in (2, 4):  # triangle, on its side or on its point
        up = 1 if shape == 2 else -1
        return f"M{x:.1f} {y - up * wide:.1f}l{wide} {up * (wide + narrow)}h{-2 * wide}Z"
    if shape == 3:  # diamond
        return f"M{x:.1f} {y - wide:.1f}l{wide} {wide}l{-wide} {wide}l{-wide} {-wide}Z"
    third = round(0.45 * r, 1)  # a plus
    arm = f"h{2 * third}v{wide - third:.1f}h{wide - third:.1f}v{2 * third}h{third - wide:.1f}"
    back = f"v{wide - third:.1f}h{-2 * third}v{third - wide:.1f}h{third - wide:.1f}v{-2 * third}"
    return f"M{x - third:.1f} {y - wide:.1f}{arm}{back}h{wide - third:.1f}Z"


def shortened(name: str, characters: int) -> str:
    """Return a name, cut with an ellipsis where it is longer."""
    return name if len(name) <= characters else name[: characters - 1] + "…"


def _figure(
    title: str, description: str, x: Axis, y: Axis, series: Sequence[Series], *, arrows: bool
) -> Figure:
    frame = FRAME
    placed = [[(frame.x(x, px), frame.y(y, py)) for px, py in one.points] for one in series]
    label_ys = _spread([points[-1] for points in placed], _RAISED_PX if arrows else 0.0)
    return Figure(
        title=title,
        description=description,
        frame=frame,
        x=x,
        y=y,
        x_ticks=[(frame.x(x, value), text) for value, text in x.ticks],
        y_ticks=[(frame.y(y, value), text) for value, text in y.ticks],
        series=[
            _drawn(one, points, label_y, x, y)
            for one, points, label_y in zip(series, placed, label_ys, strict=True)
        ],
        arrows=[_arrow(a[-1], b[0]) for a, b in pairwise(placed)] if arrows else [],
    )


def _drawn(
    series: Series, points: Sequence[tuple[float, float]], label_y: float, x: Axis, y: Axis
) -> Drawn:
    return Drawn(
        name=series.name,
        label=shortened(series.name, _LABEL_CHARACTERS),
        style=series.style,
        points=[Point(px, py, marker(series.style, px, py)) for px, py in points],
        label_y=label_y,
        line=_path(points) if len(points) > 1 else "",
        band=_band(points, series.band, y) if len(points) > 1 else "",
        whiskers=_whiskers(points[0], series.cross, x, y) if series.cross else "",
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x} {y}" for x, y in points)


def _band(points: Sequence[tuple[float, float]], band: Sequence[Range], y: Axis) -> str:
    if not band:
        return ""
    xs = [x for x, _ in points]
    upper = [(x, FRAME.y(y, high)) for x, (_, high) in zip(xs, band, strict=True)]
    lower = [(x, FRAME.y(y, low)) for x, (low, _) in zip(xs, band, strict=True)]
    return _path([*upper, *reversed(lower)]) + " Z"


def _whiskers(point: tuple[float, float], cross: tuple[Range, Range], x: Axis, y: Axis) -> str:
    (left, right), (low, high) = cross
    return (
        f"M{FRAME.x(x, left)} {point[1]} H{FRAME.x(x, right)} "
        f"M{point[0]} {FRAME.y(y, low)} V{FRAME.y(y, high)}"
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a line that stops short of the markers, or nothing where they touch."""
    length = math.dist(start, end)
    gap = 2 * MARKER_PX
    if length <= 2 * gap:
        return ""
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tail = round(start[0] + gap * dx, 1), round(start[1] + gap * dy, 1)
    head = round(end[0] - gap * dx, 1), round(end[1] - gap * dy, 1)
    return _path([tail, head])


def _spread(ends: Sequence[tuple[float, float]], raised_px: float) -> list[float]:
    """Return the heights of the names at `ends`: apart where they would meet, and none too low."""
    found = {place: min(y - raised_px, float(FRAME.y_end)) for place, (_, y) in enumerate(ends)}
    order = sorted(found, key=lambda place: found[place])
    for places, step in ((order, _LABEL_PX), (order[::-1], -_LABEL_PX)):
        for position, place in enumerate(places):
            for other in places[:position]:
                if abs(ends[place][0] - ends[other][0]) < _LABEL_WIDTH_PX:
                    furthest = max if step > 0 else min
                    found[place] = furthest(found[place], found[other] + step)
            if step < 0:
                found[place] = min(found[place], float(FRAME.y_end))
    return [round(height, 1) for height in found.values()]
