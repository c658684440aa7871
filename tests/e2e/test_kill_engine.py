"""A real engine is stopped and killed in the middle of a run, which goes on and ends whole."""

import signal
from pathlib import Path

import pytest

from synth.drive.holder import read_progress
from tests.chaos.check import count
from tests.chaos.kills import Kill, run_through

CONFIG = """
run: {run}
recipe: srg
samples: 1
seeds: {{limit: {{harmful: 3, benign: 3, borderline: 0}}}}
teacher: {{model: embedded, engine_args: {{max_model_len: 4096, max_num_seqs: 8}}}}
sampling: {{max_tokens: 128}}
limits: {{workers: 1, call_timeout_s: 300, stall_s: 15}}
"""
STARTED = "init engine ("  # vLLM's words


@pytest.mark.ray
@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(560)
def test_an_engine_core_that_stops_or_dies_costs_no_row(tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(CONFIG.format(run=run))
    logs = run / "logs"

    def engines() -> int:
        """Count those that have started, once rows have been on their way for a beat."""
        beat = read_progress(str(run))
        under_way = beat is not None and beat["rows_planned"] > 0
        return (logs / "engine.log").read_text().count(STARTED) if under_way else 0

    # A core that only stands still is there until its replica sees that no token comes; what
    # is killed next is the core of the engine that follows it.
    story = run_through(
        ["ray_jobs.synthesize", str(config)],
        [Kill("core", progress=1, what=signal.SIGSTOP), Kill("core", progress=2)],
        progress=engines,
        log=tmp_path / "driver.log",
        env={},
        timeout_s=540,
    )
    assert story.kills == {"core": 2}
    found = count(run)
    assert (found.planned, found.rows, found.lost, found.double) == (6, 6, 0, 0), found
    assert "failed" not in found.outcomes
