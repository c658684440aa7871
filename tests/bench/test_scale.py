"""What the scale bench makes of its measurements."""

import os
from pathlib import Path

import pytest

from synth.seeds.seeds import load_seeds
from tests.bench.memory import pss_bytes
from tests.bench.scale import Size, summarize
from tests.bench.scale_sides import SAMPLES, make_config, write_inputs


def make_size(rows: int, pss: int) -> Size:
    return Size(
        rows=rows,
        rows_per_s=700.0,
        pss_bytes=pss,
        resume_s=2.0,
        curated_per_s=900.0,
        curate_pss_bytes=pss,
        accepted=rows,
    )


def test_bytes_a_row_are_of_the_rows_beyond_the_smallest_run() -> None:
    found = summarize([make_size(10_000, 300_000_000), make_size(110_000, 310_000_000)])
    assert found["bytes_per_row"] == pytest.approx(100)
    assert found["rows_per_s"] == 700.0
    assert found["resume_s"] == 2.0


def test_one_size_has_nothing_to_be_compared_with() -> None:
    assert summarize([make_size(10_000, 1)])["bytes_per_row"] is None


def test_there_are_seeds_for_all_rows_and_none_is_kept_back(tmp_path: Path) -> None:
    write_inputs(2_000, tmp_path / "run")
    config = make_config(tmp_path / "run", 0)
    assert len(load_seeds(config.seeds)) * SAMPLES == 2_000
    assert config.seeds.eval_share == 0


def test_a_process_holds_memory_and_one_that_ended_none() -> None:
    assert pss_bytes(os.getpid()) > 1_000_000
    assert pss_bytes(2**22 + 1) == 0
