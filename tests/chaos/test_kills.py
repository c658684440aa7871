"""Whatever dies and whenever: no item is lost, none comes twice, every row ends well."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.calls import metering
from synth.config.schema import SynthConfig
from synth.dataset import make_traces, retry_failed
from synth.drive.drive import Drive
from synth.drive.runner import Runner, Work
from synth.errors import EngineDied
from synth.records import Message, Outcome, Sampling
from synth.run import load_run
from synth.synthesize import RunOptions
from synth.workspace.workspace import Workspace
from tests.chaos.calls import CALLS_FILE, Calls
from tests.chaos.check import count
from tests.chaos.kills import DRIVER, Kill, run_through
from tests.chaos.run import bound, regenerated_share
from tests.chaos.scripts import BROKEN, LATENCY_S
from tests.chaos.seed import Size, run_seed
from tests.chaos.storm import CONTROLLER, NODE, REPLICA, WORKER
from tests.synth.factories import make_items, make_pool

RECIPE = "tests.chaos.scripts.two_calls"
CONFIG = """
run: {run}
recipe: tests.chaos.scripts.two_calls
samples: 2
seeds: {{limit: {{harmful: 14, benign: 14, borderline: 12}}}}
teacher:
  model: scripted
  backend: scripted
  engine_args: {{script: "tests.chaos.scripts:answer", max_num_seqs: 8}}
limits: {{workers: 2, call_timeout_s: 30, drain_s: 3, start_timeout_s: 120}}
"""


class Mortal(Runner):
    """A worker that goes with its driver and closes nothing."""

    async def drain(self) -> None:
        """Die as the driver does."""


async def live(workspace: str, num_workers: int, turns: int | None, kind: type[Runner]) -> None:
    """Plan what is due and run it, for so many turns of the event loop or to the end."""
    there = Workspace(workspace)
    there.plan_more(lambda: there.again([Outcome.INTERRUPTED]))
    work = Work(
        workspace=workspace,
        pools=[make_pool("tests.chaos.scripts:answer")],
        sampling=Sampling(),
        fingerprint="f",
        num_workers=num_workers,
    )
    workers = [kind(work, index) for index in range(num_workers)]
    drive = Drive(workers, there.owed(), drain_s=5.0 if kind is Runner else 0.0)
    running = asyncio.create_task(drive.run())
    if turns is not None:
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
    await asyncio.gather(running, return_exceptions=turns is not None)


@settings(max_examples=40)
@given(
    num_items=st.integers(1, 60),
    lease_rows=st.integers(1, 20),
    num_workers=st.integers(1, 3),
    lives=st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from((Mortal, Mortal, Runner))), max_size=5
    ),
)
def test_a_driver_killed_at_any_moment_loses_nothing(
    num_items: int, lease_rows: int, num_workers: int, lives: list[tuple[int, type[Runner]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        workspace = Path(folder, "run")
        patch.setenv(CALLS_FILE, str(Path(folder, "calls")))
        patch.setattr(metering, "FIRST_WAIT_S", 0.001)
        Workspace(str(workspace)).publish(make_items(num_items, recipe=RECIPE), rows=lease_rows)
        for turns, kind in lives:
            asyncio.run(live(str(workspace), num_workers, turns, kind))
        asyncio.run(live(str(workspace), num_workers, None, Runner))
        found = count(workspace)
        assert found.whole, found
        assert (found.planned, found.rows) == (num_items, 2 * num_items)


async def test_stopping_starts_no_further_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def stuck(self: object, messages: object, sampling: Sampling) -> str:
        asked.append(messages)
        await asyncio.sleep(3600)
        return ""

    monkeypatch.setattr("synth.chat.scripted.ScriptedChat._next", stuck)
    Workspace(str(tmp_path)).publish(make_items(400, recipe=RECIPE), rows=16)
    run = asyncio.create_task(live(str(tmp_path), 1, None, Runner))
    async with asyncio.timeout(20):
        while len(asked) < 8:  # noqa: ASYNC110 - the calls never end, so nothing tells
            await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert len(asked) == 8
    assert len(Workspace(str(tmp_path)).finished()) < 5, "leases that had not begun stay owed"


async def test_rows_beside_a_poison_row_are_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "FIRST_WAIT_S", 0.001)
    lives = [asyncio.Event()]

    async def engine(self: object, messages: Sequence[Message], sampling: Sampling) -> str:
        """Die of one question, and take every call in flight along."""
        if "number 7?" in messages[-1]["content"]:
            await asyncio.sleep(0.005)  # the others call again meanwhile
            lives[-1].set()
            lives.append(asyncio.Event())
            raise EngineDied("this question kills")
        with suppress(TimeoutError):
            await asyncio.wait_for(lives[-1].wait(), 0.02)
            raise EngineDied("the engine is dead")
        return "an answer"

    monkeypatch.setattr("synth.chat.scripted.ScriptedChat._next", engine)
    Workspace(str(tmp_path)).publish(make_items(40, recipe=RECIPE), rows=16)
    await live(str(tmp_path), 2, None, Runner)
    found = count(tmp_path)
    assert found.outcomes == {"ok": 2 * 39, "failed": 1}
    assert (found.failed, found.poison) == (("Question number 7?",), 1)
    assert len(lives) > 4, "two deaths make a suspect, two more, alone, the culprit"


def test_a_whole_failed_lease_ends_well_after_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CALLS_FILE, str(tmp_path / "calls"))
    monkeypatch.setenv(BROKEN, "yes")
    config = SynthConfig.model_validate(
        {
            "run": str(tmp_path / "run"),
            "recipe": "tests.chaos.scripts.mended",
            "samples": 1,
            "seeds": {"limit": {"harmful": 8, "benign": 8, "borderline": 0}},
            "teacher": {
                "model": "scripted",
                "engine_args": {"script": "tests.chaos.scripts:answer"},
            },
            "limits": {"workers": 0},
        }
    )
    run = load_run(config)
    assert make_traces(run, RunOptions()) == {"failed": 16}
    monkeypatch.delenv(BROKEN)
    make_traces(run, RunOptions())
    assert count(Path(config.run)).outcomes == {"failed": 16}, "nothing failed is tried unasked"
    assert retry_failed(config.run) == 16
    make_traces(run, RunOptions())
    found = count(Path(config.run))
    assert found.whole, found
    assert found.planned == 16


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_that_loses_one_of_everything_loses_no_row(tmp_path: Path) -> None:
    size = Size(rows=160, poison=1, timeout_s=240)
    kinds = [WORKER, CONTROLLER, REPLICA, NODE, WORKER, DRIVER, CONTROLLER, REPLICA, WORKER]
    kills = [Kill(kind, 20 * index) for index, kind in enumerate(kinds, start=1)]
    result = run_seed(size, kills, 1, tmp_path / "seed")
    assert result.whole, result
    assert dict(result.kills) == {WORKER: 3, REPLICA: 2, CONTROLLER: 2, NODE: 1, DRIVER: 1}
    assert result.store_faults > 0
    assert regenerated_share([result]) <= bound([result]), result


@pytest.mark.ray
@pytest.mark.slow
def test_processes_killed_at_their_start_lose_nothing(tmp_path: Path) -> None:
    run, config, record = tmp_path / "run", tmp_path / "config.yaml", tmp_path / "calls"
    config.write_text(CONFIG.format(run=run))
    record.touch()
    calls = Calls(record)
    kills = [Kill("replica"), Kill("worker"), Kill(DRIVER, 60)]
    story = run_through(
        ["ray_jobs.synthesize", str(config), "--force"],
        kills,
        progress=lambda: calls.look().answered,
        log=tmp_path / "drivers.log",
        env={CALLS_FILE: str(record), LATENCY_S: "0.25"},
        timeout_s=110,
    )
    found = count(run)
    assert found.whole, found
    assert (found.planned, found.rows) == (80, 160)
    assert story.kills.total() == len(kills)
    assert story.left_behind == 0
