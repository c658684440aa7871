"""Geometry of the forest plot: a line a group of prompts, a dot with its interval a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from train.report.axes import Axis, Frame
from train.report.cells import Json, known
from train.report.figures import marker, shortened

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 116, 22, 10, 40
_MARK_PX = 11  # from one model's dot to the next one's
_GAP_PX = 12  # from one line to the next
_MODEL_CHARACTERS = 17  # what the left margin holds


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
class Label:
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
    labels: Sequence[Label]
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
        labels.append(Label(shortened(line.name, _MODEL_CHARACTERS), line.note, y + height / 2, y))
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
