"""The endpoint bench's own parts."""

import argparse
import asyncio
import statistics

import pytest

from tests.bench.endpoint import Killed, Measured, _ask, mock_server, summarize
from tests.bench.endpoint_load import Load, latency_s, make_items, prompt
from tests.bench.endpoint_sides import _ask_all


def test_latencies_are_the_prompts_own_and_a_second_in_the_mean() -> None:
    found = [latency_s(prompt(number), 1.0) for number in range(20_000)]
    assert statistics.fmean(found) == pytest.approx(1.0, rel=0.05)
    assert statistics.median(found) == pytest.approx(0.607, rel=0.05)
    assert found[:9] == [latency_s(prompt(number), 1.0) for number in range(9)]


def test_every_row_is_a_prompt_of_its_own() -> None:
    items = make_items(50)
    assert len({item.seed.prompt for item in items}) == len({i.item_id for i in items}) == 50


def test_the_server_counts_what_comes() -> None:
    with mock_server(0.01) as url:
        load = Load(url=url, rows=40, calls=8)
        asyncio.run(_ask_all(load))
        asyncio.run(_ask_all(Load(url=url, rows=10, calls=4)))
        stats = _ask(url, "stats")
        assert (stats["asked"], stats["answered"], stats["repeated"]) == (50, 50, 10)
        assert (stats["inside"], stats["most_inside"]) == (0, 8)
        _ask(url, "reset")
        assert _ask(url, "stats")["asked"] == 0


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    bare = Measured(rows_per_s=200, cpu_ms_per_row=0.3)
    ours = [Measured(rows_per_s=rate, cpu_ms_per_row=1.0) for rate in (180, 190, 200)]
    told = summarize(
        argparse.Namespace(rows=10), [(bare, one) for one in ours], Killed(repeated=3, bound=5)
    )
    assert (told["ratio"], told["cpu_ms_per_row"]) == (0.95, 1.0)
    assert (told["repeated"], told["repeated_bound"], told["rows"]) == (3, 5, 10)
