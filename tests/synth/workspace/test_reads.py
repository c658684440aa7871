"""What a pass over a finished run reads: a plan's file and a lease's footer once a process."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth import storage
from synth.dataset import retry_failed
from synth.estimate import estimate_cost
from synth.run import Run
from synth.status import read_status, shortfalls
from synth.synthesize import RunOptions, synthesize
from tests.synth.factories import make_loaves, make_run
from tests.synth.scripts import ECHO
from tests.synth.test_batch import ITEMS, run

SEEDS = 300


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of a plan and of traces is opened."""
    found: Counter[str] = Counter()
    open_input = storage.open_input

    def noted(path: str) -> Any:
        if "/plan/" in path or "/traces/" in path:
            found[path] += 1
        return open_input(path)

    monkeypatch.setattr(storage, "open_input", noted)
    return found


def a_run(folder: Path) -> Run:
    path = "tests.synth.scripts.ECHO"
    return make_run(folder, ECHO, path, seeds=make_loaves(SEEDS), samples=1)


async def synthesized(run: Run) -> None:
    await synthesize(run, None, RunOptions(force=True))
    assert list(shortfalls(run, None)) == []


def looked_at(run: Run) -> None:
    read_status(run.config.run)


def retried(run: Run) -> None:
    assert retry_failed(run.config.run) == 0


@pytest.mark.parametrize("ask", [looked_at, retried])
async def test_a_look_at_a_finished_run_opens_each_file_once(
    tmp_path: Path, opens: Counter[str], ask: Callable[[Run], None]
) -> None:
    await synthesized(a_run(tmp_path))
    opens.clear()
    ask(a_run(tmp_path))
    assert len(opens) == 1 + -(-SEEDS // 16), "the plan, and every lease"
    assert max(opens.values()) == 1


async def test_a_pass_that_owes_nothing_opens_each_file_once(
    tmp_path: Path, opens: Counter[str]
) -> None:
    await synthesized(a_run(tmp_path))
    opens.clear()
    await synthesized(a_run(tmp_path))
    assert len(opens) == 1 + -(-SEEDS // 16)
    assert max(opens.values()) == 1


async def test_an_estimate_opens_the_plan_once(tmp_path: Path, opens: Counter[str]) -> None:
    await synthesized(a_run(tmp_path))
    opens.clear()
    assert estimate_cost(a_run(tmp_path), None).rows == 0
    assert {path: n for path, n in opens.items() if "/plan/" in path and n > 1} == {}


def test_a_batch_that_owes_nothing_opens_its_plan_once(tmp_path: Path, opens: Counter[str]) -> None:
    list(run(tmp_path, [ITEMS]))
    opens.clear()
    list(run(tmp_path, [ITEMS]))
    assert [n for path, n in opens.items() if "/plan/" in path] == [1]
