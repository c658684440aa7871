"""Whether points stand where their values say, and nothing leaves its frame."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.report.figures import (
    FRAME,
    Axis,
    Figure,
    Line,
    Series,
    arrow_figure,
    doubling_axis,
    forest_figure,
    line_figure,
    number_axis,
    scatter_figure,
    share_axis,
)
from train.report.figures import SCATTER_FRAME as PLANE
from train.report.tables import TableCell, percent, points

SHARES = st.floats(0, 1)


def inside(figure: Figure) -> Iterator[bool]:
    for series in figure.series:
        for point in series.points:
            yield FRAME.left <= point.x <= FRAME.x_end
            yield FRAME.top <= point.y <= FRAME.y_end


def plane(*series: Series) -> Figure:
    return arrow_figure("t", "d", share_axis("x"), share_axis("y"), series)


def test_points_stand_where_their_values_say() -> None:
    figure = plane(Series("a", [(0, 1)]), Series("b", [(1, 0)], 1))
    (first,), (second,) = figure.series[0].points, figure.series[1].points
    assert (first.x, first.y) == (FRAME.left, FRAME.top)
    assert (second.x, second.y) == (FRAME.x_end, FRAME.y_end)
    assert len(figure.arrows) == 1


def test_whiskers_span_both_intervals() -> None:
    cross = ((0.25, 0.75), (0.0, 1.0))
    [drawn] = plane(Series("a", [(0.5, 0.5)], cross=cross)).series
    width, height = FRAME.x_end - FRAME.left, FRAME.y_end - FRAME.top
    across = f"M{FRAME.left + width / 4} {FRAME.top + height / 2} H{FRAME.left + 3 * width / 4}"
    assert drawn.whiskers.startswith(across)
    assert drawn.whiskers.endswith(f"V{float(FRAME.top)}")


def test_a_band_goes_there_and_back() -> None:
    series = Series("a", [(1, 0.5), (2, 0.4)], band=[(0.3, 0.7), (0.2, 0.6)])
    figure = line_figure("t", "d", doubling_axis("N", [1, 2]), share_axis("y"), [series])
    assert figure.series[0].band.count("L") == 3
    assert figure.series[0].band.endswith("Z")
    assert figure.series[0].line.count("L") == 1


def test_models_in_one_place_have_no_arrow_and_names_apart() -> None:
    figure = plane(*(Series(name, [(0.5, 0.0)]) for name in "abc"))
    assert figure.arrows == ["", ""]
    heights = sorted(series.label_y for series in figure.series)
    assert min(b - a for a, b in pairwise(heights)) >= 12
    assert heights[-1] <= FRAME.y_end, "none below the axis"


def test_a_long_name_is_cut_where_the_margin_ends() -> None:
    [drawn] = plane(Series("a model with a very long name", [(0.5, 0.5)])).series
    assert drawn.label.endswith("…")
    assert len(drawn.label) < 14


@given(st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=6))
def test_shares_stay_inside(points: list[tuple[float, float]]) -> None:
    assert all(inside(plane(*(Series(str(i), [p], i) for i, p in enumerate(points)))))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_number_axes_hold_their_values_with_few_ticks(values: list[float]) -> None:
    axis = number_axis("loss", values)
    slack = 1e-6 * max(1.0, max(map(abs, values)))
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert 2 <= len(axis.ticks) <= 7
    steps = number_axis("step", [1.0, 2.0], low=0.0)
    series = [Series("a", [(1.0, value) for value in values])]
    assert all(inside(line_figure("t", "d", steps, axis, series)))


@pytest.mark.parametrize("layers", [[1], [1, 2], [1, 8, 16, 30]])
def test_axes_of_whole_numbers_have_whole_ticks_inside(layers: list[float]) -> None:
    axis: Axis = number_axis("Layer", layers, whole=True)
    assert all(tick == int(tick) and axis.low <= tick <= axis.high for tick, _ in axis.ticks)
    assert axis.ticks


def estimate(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value, "high": value}


def test_a_forest_has_a_dot_a_model_and_line_with_a_value() -> None:
    lines = [
        Line("plain", "", [(0, estimate(0.0)), (1, estimate(None))]),
        Line("rot13", "cipher", [(0, estimate(1.0)), (1, None)]),
    ]
    forest = forest_figure("t", "d", share_axis("ASR"), lines)
    assert [mark.style for mark in forest.marks] == [0, 0]
    assert [mark.low for mark in forest.marks] == [forest.frame.left, forest.frame.x_end]
    first, second = forest.labels
    assert first.y < second.rule_y < second.y < forest.frame.y_end


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=9))
def test_a_cloud_stays_inside_its_plane(cloud: list[tuple[float, float]]) -> None:
    figure = scatter_figure("t", "d", ("x", "y"), {12: cloud})
    assert len(figure.dots) == len(cloud)
    for dot in figure.dots:
        x, y = (float(part) for part in dot.path[1:].split("a")[0].split())
        assert PLANE.left - 4 <= x <= PLANE.x_end + 4
        assert PLANE.top - 4 <= y <= PLANE.y_end + 4


def test_numbers_that_round_to_nothing_have_no_sign() -> None:
    found = {"value": -0.0004, "low": -0.02, "high": 0.01, "method": "wilson"}
    assert points(found) == TableCell(text="0.0", interval="[-2.0, +1.0]")
    assert percent(found | {"low": -1e-9}).interval == "[0.0, 1.0]"
