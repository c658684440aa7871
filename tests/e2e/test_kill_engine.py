"""A real engine is killed in the middle of a run, which goes on and ends whole."""

from pathlib import Path

import pytest

from tests.chaos.check import count
from tests.chaos.kills import Kill, run_through

CONFIG = """
run: {run}
recipe: srg
samples: 1
seeds: {{limit: {{harmful: 3, benign: 3, borderline: 0}}}}
teacher: {{model: embedded, engine_args: {{max_model_len: 4096, max_num_seqs: 8}}}}
sampling: {{max_tokens: 192}}
limits: {{workers: 1, call_timeout_s: 200}}
"""


@pytest.mark.ray
@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(560)
def test_a_killed_engine_core_costs_no_row(tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(CONFIG.format(run=run))
    # The heartbeat is first written when the rows have been on their way for a second.
    beat = run / "logs" / "progress.json"
    story = run_through(
        ["ray_jobs.synthesize", str(config)],
        [Kill("core", progress=1)],
        progress=lambda: int(beat.exists()),
        log=tmp_path / "driver.log",
        env={},
        timeout_s=540,
    )
    assert story.kills == {"core": 1}
    found = count(run)
    assert (found.planned, found.rows, found.lost, found.double) == (6, 6, 0, 0), found
    assert "failed" not in found.outcomes
