"""What is planned next, from storage and config alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.chat import ChatSpec
from synth.config.schema import Accepted
from synth.drive.runner import Runner
from synth.records import Seed
from synth.rounds import due_items, due_steps, needed, plan_due
from synth.run import Run
from synth.synthesize import Options, make_work, synthesize
from synth.workspace.workspace import owed, read_traces
from tests.synth import factories
from tests.synth.factories import make_loaves
from tests.synth.scripts import TWO_STEPS


def make_run(folder: Path, *, seeds: list[Seed] | None = None, **fields: Any) -> Run:
    path = "tests.synth.scripts.TWO_STEPS"
    return factories.make_run(folder, TWO_STEPS, path, seeds=seeds or make_loaves(5), **fields)


async def test_a_later_step_is_made_from_the_traces_of_the_one_before(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=2)
    assert len(list(due_items(run, None))) == 10
    outcomes = await synthesize(run, None, Options())
    assert outcomes == {"ok": 20}
    rows = read_traces(str(tmp_path)).to_pylist()
    drafts = {row["row_id"]: row for row in rows if row["step"] == 0}
    finals = [row for row in rows if row["step"] == 1]
    assert {row["parents"][0] for row in finals} == drafts.keys()
    for row in finals:
        assert row["answer"] == f"Better: {drafts[row['parents'][0]]['answer']}"


async def test_a_finished_run_owes_nothing_and_more_samples_owe_the_rest(tmp_path: Path) -> None:
    await synthesize(make_run(tmp_path, samples=1), None, Options())
    assert plan_due(make_run(tmp_path, samples=1), None) == []
    more = await synthesize(make_run(tmp_path, samples=3), None, Options())
    assert more == {"ok": 30}
    assert owed(str(tmp_path)) == []


async def test_a_quota_is_met_within_its_budget(tmp_path: Path) -> None:
    def accepted(run: Run) -> Counter[tuple[str, str, str]]:
        table = read_traces(run.workspace, columns=["recipe", "label", "category", "row_id"])
        rows = [row for row in table.to_pylist() if int(row["row_id"][0], 16) < 8]
        return Counter((r["recipe"], r["label"], r["category"]) for r in rows)

    run = make_run(tmp_path, accepted=Accepted(per_category=30, budget=400))
    run = replace(run, recipes=one_step())
    await synthesize(run, accepted, Options())
    [have] = accepted(run).values()
    assert 30 <= have <= 60
    again = accepted(run)
    await synthesize(run, accepted, Options())
    assert accepted(run) == again


async def test_a_budget_is_never_exceeded(tmp_path: Path) -> None:
    run = make_run(tmp_path, accepted=Accepted(per_category=30, budget=37))
    run = replace(run, recipes=one_step())
    outcomes = await synthesize(run, None, Options())
    assert outcomes.total() == 37


def one_step() -> dict:
    return {
        TWO_STEPS.name: type(TWO_STEPS)(
            name=TWO_STEPS.name,
            version=1,
            steps=TWO_STEPS.steps[:1],
            needs=TWO_STEPS.needs,
            guided=False,
        )
    }


@given(st.integers(1, 100), st.integers(0, 200), st.integers(0, 500))
def test_what_is_needed_covers_the_deficit(quota: int, accepted: int, tried: int) -> None:
    accepted = min(accepted, tried)
    count = needed(quota, accepted, tried)
    assert count >= max(0, quota - accepted)
    assert (count == 0) == (accepted >= quota)


@pytest.mark.parametrize(("accepted", "tried", "expected"), [(0, 0, 22), (5, 10, 11), (10, 20, 0)])
def test_the_next_round_by_hand(accepted: int, tried: int, expected: int) -> None:
    assert needed(10, accepted, tried) == expected


async def test_a_quota_waits_for_the_step_that_decides_and_counts_its_candidates(
    tmp_path: Path,
) -> None:
    seen: list[int] = []

    def accepted(run: Run) -> Counter[tuple[str, str, str]]:
        table = read_traces(run.workspace, columns=["recipe", "label", "category", "step"])
        rows = [row for row in table.to_pylist() if row["step"] == 1]
        seen.append(len(rows))
        return Counter((r["recipe"], r["label"], r["category"]) for r in rows)

    run = make_run(tmp_path, accepted=Accepted(per_category=20, budget=60))
    await synthesize(run, accepted, Options())
    [have] = accepted(run).values()
    assert have == needed(20, 0, 0)  # half of them expected, and all accepted
    assert set(seen) == {0, have}


async def test_a_quota_out_of_reach_ends_with_its_budget(tmp_path: Path) -> None:
    run = make_run(tmp_path, accepted=Accepted(per_category=20, budget=30))
    await synthesize(run, None, Options())
    steps = Counter(read_traces(run.workspace)["step"].to_pylist())
    assert steps == {0: 30, 1: 30}  # what later steps make of the candidates is none of them
    assert plan_due(run, None) == []


async def test_what_was_interrupted_is_finished_before_the_next_step(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=1)
    leases = plan_due(run, None)
    chat = ChatSpec(kind="scripted", model_id="s", script="tests.synth.scripts:repeat")
    runner = Runner(make_work(run, {"teacher": chat}, "f"))
    await runner.drain()
    for lease in leases:
        await runner.run(lease)
    assert set(read_traces(run.workspace)["outcome"].to_pylist()) == {"interrupted"}
    assert due_steps(run) == {"two_steps": 0}
    assert {(item.step, item.attempt) for item in due_items(run, None)} == {(0, 1)}
    await synthesize(run, None, Options())
    assert Counter(read_traces(run.workspace)["step"].to_pylist()) == {0: 5, 1: 5}
