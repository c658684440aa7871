"""What the two sides of the saturation bench agree on."""

import argparse

import pytest

from synth.recipes import find_recipe
from tests.bench.load import Load, Served, add_options, make_config, make_items, read_load
from tests.bench.recipes import ONE_CALL
from tests.bench.saturation import Pair, summarize


def test_a_side_is_told_the_whole_load() -> None:
    load = Load(prompts=7, max_tokens=5, max_num_seqs=3, workers=1)
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert read_load(parser.parse_args(load.words())) == load


def test_prompts_that_come_again_are_further_items() -> None:
    items = make_items(Load())
    assert len({item.item_id for item in items}) == 512
    assert {item.sample_index for item in items} == {0, 1}


def test_the_recipe_is_found_as_workers_find_it() -> None:
    [path] = make_config(Load(), "anywhere").recipe
    assert find_recipe(path) is ONE_CALL


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    pairs = [Pair(100, 90), Pair(200, 190), Pair(100, 99)]
    assert summarize(Load(), pairs)["ratio"] == pytest.approx(0.95)


def test_speed_counts_output_tokens_alone() -> None:
    assert Served(replies=2, output_tokens=30, seconds=1.5).tokens_per_s == 20
