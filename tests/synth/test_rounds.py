"""What is planned next, from storage and config alone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from guidelines import load_guidelines
from synth.config.schema import Accepted, CurateConfig
from synth.curate import AcceptedCount
from synth.dataset import counting_of
from synth.drive.notes import read_barren
from synth.drive.runner import Runner
from synth.errors import BadInput
from synth.recipes.base import Before, Step
from synth.records import Item, Seed, TraceRow, digest
from synth.rounds import due_items, due_steps, plan_due
from synth.run import Run
from synth.status import shortfalls
from synth.synthesize import RunOptions, make_work, synthesize
from synth.workspace.workspace import Workspace
from tests.synth import factories
from tests.synth.factories import make_loaves, make_seed
from tests.synth.scripts import ECHO, TWO_STEPS, draft

ECHO_PATH = "tests.synth.scripts.ECHO"


def make_run(folder: Path, *, seeds: list[Seed] | None = None, **fields: Any) -> Run:
    path = "tests.synth.scripts.TWO_STEPS"
    return factories.make_run(folder, TWO_STEPS, path, seeds=seeds or make_loaves(5), **fields)


KEPT = 0.5  # of the candidates, by the rule below


def keep_half(row: TraceRow) -> str | None:
    """Keep a trace by chance, and none of the category `never`."""
    kept = row["category"] != "never" and int(row["row_id"][0], 16) < 8
    return None if kept else "by chance"


def make_questions(count: int, *, category: str = "cooking") -> list[Seed]:
    """Make up prompts that are far from each other."""
    return [
        make_seed(f"{digest(category, i)} {digest(i, category)}?", category=category)
        for i in range(count)
    ]


def make_quota_run(
    folder: Path,
    *,
    seeds: list[Seed] | None = None,
    policy: dict[str, Any] | None = None,
    steps: int = 1,
    keep: Callable[[TraceRow], str | None] | None = keep_half,
    per_category: int,
    budget: int = 1_000,
) -> Run:
    """Make up a run towards a quota under a policy that drops for `keep` and the prompts alone."""
    lenient = {"min_reasoning_words": 0, "min_answer_words": 1, "require_consistency": False}
    path = folder / "lenient.yaml"
    path.write_text(yaml.safe_dump(lenient | (policy or {})))
    run = make_run(
        folder,
        seeds=seeds or make_questions(40),
        accepted=Accepted(per_category=per_category, budget=budget),
        curate=CurateConfig(policy=str(path)),
    )
    recipe = replace(TWO_STEPS, steps=TWO_STEPS.steps[:steps], keep=keep)
    return replace(run, recipes={recipe.name: recipe})


def accepted(run: Run) -> int:
    """Return how many rows curation would make now."""
    return counted(run).accepted.total()


def counted(run: Run) -> AcceptedCount:
    counting = counting_of(run)
    assert counting is not None
    return counting()


def no_items(before: Before) -> list[Item]:
    """A step that finds nothing to do."""
    return []


async def test_a_later_step_is_made_from_the_traces_of_the_one_before(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=2)
    assert len(list(due_items(run, None))) == 10
    outcomes = await synthesize(run, None, RunOptions())
    assert outcomes == {"ok": 20}
    rows = Workspace(str(tmp_path)).traces().to_pylist()
    drafts = {row["row_id"]: row for row in rows if row["step"] == 0}
    finals = [row for row in rows if row["step"] == 1]
    assert {row["parents"][0] for row in finals} == drafts.keys()
    for row in finals:
        assert row["answer"] == f"Better: {drafts[row['parents'][0]]['answer']}"


async def test_a_finished_run_owes_nothing_and_more_samples_owe_the_rest(tmp_path: Path) -> None:
    await synthesize(make_run(tmp_path, samples=1), None, RunOptions())
    assert plan_due(make_run(tmp_path, samples=1), None) == []
    more = await synthesize(make_run(tmp_path, samples=3), None, RunOptions())
    assert more == {"ok": 30}
    assert Workspace(str(tmp_path)).owed() == []


async def test_a_quota_is_met_within_its_budget(tmp_path: Path) -> None:
    run = make_quota_run(tmp_path, per_category=30, budget=400)
    outcomes = await synthesize(run, counting_of(run), RunOptions())
    assert accepted(run) >= 30
    assert outcomes.total() < 30 / KEPT * 2
    assert await synthesize(run, counting_of(run), RunOptions()) == outcomes
    assert list(shortfalls(run, counting_of(run))) == []


async def test_a_budget_is_never_exceeded(tmp_path: Path) -> None:
    run = make_quota_run(tmp_path, per_category=30, budget=37)
    outcomes = await synthesize(run, counting_of(run), RunOptions())
    assert outcomes.total() == 37


async def test_a_cell_that_gives_nothing_is_given_up_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = [*make_questions(200), *make_questions(200, category="never")]
    run = make_quota_run(tmp_path, seeds=seeds, per_category=30, budget=5_000)
    await synthesize(run, counting_of(run), RunOptions())
    rows = Counter(run.workspace.traces()["category"].to_pylist())
    assert 24 < rows["never"] <= 100
    assert caplog.text.count("two_steps, benign, never: gets no more") == 1
    [unmet] = shortfalls(run, counting_of(run))
    assert unmet.startswith("two_steps, benign, never: 0 of 30 accepted; its last")
    assert read_barren(run.config.run) == {("two_steps", "benign", "never"): rows["never"]}


async def test_a_cell_ends_with_what_its_seeds_and_the_policy_can_give(tmp_path: Path) -> None:
    twins = [make_seed(f"{seed.prompt}!") for seed in make_questions(4)]
    seeds = [*make_questions(4), *twins]
    run = make_quota_run(
        tmp_path, seeds=seeds, policy={"per_prompt": 3, "near_duplicate": 0.8}, per_category=50
    )
    outcomes = await synthesize(run, counting_of(run), RunOptions())
    assert accepted(run) == 12
    assert outcomes.total() < 12 / KEPT * 2
    table = run.workspace.traces()
    assert len(set(table["seed_id"].to_pylist())) == 4, "none of two near ones"


async def test_seeds_of_which_no_further_sample_is_kept_do_not_eat_the_budget(
    tmp_path: Path,
) -> None:
    def by_seed(row: TraceRow) -> str | None:
        return None if int(row["seed_id"][0], 16) < 8 else "its seed is none of those kept"

    run = make_quota_run(tmp_path, keep=by_seed, policy={"per_prompt": 1}, per_category=39)
    outcomes = await synthesize(run, counting_of(run), RunOptions())
    assert 10 < accepted(run) < 39
    assert outcomes.total() < 40 + 2 * 100


async def test_a_round_is_planned_once_and_the_same_state_plans_the_same(tmp_path: Path) -> None:
    run = make_quota_run(tmp_path, per_category=30, budget=400)
    first, again = ([*due_items(run, counting_of(run))] for _ in range(2))
    assert first == again
    leases = plan_due(run, counting_of(run))
    assert plan_due(run, counting_of(run)) == leases, "open candidates are taken into account"


async def test_a_quota_waits_for_the_step_that_decides_and_counts_its_candidates(
    tmp_path: Path,
) -> None:
    run = make_quota_run(tmp_path, steps=2, keep=None, per_category=20, budget=60)
    await synthesize(run, counting_of(run), RunOptions())
    steps = Counter(run.workspace.traces()["step"].to_pylist())
    assert steps == {0: 22, 1: 22}  # all expected to be kept, and so they are
    assert accepted(run) == 22


async def test_a_quota_out_of_reach_ends_with_its_budget(tmp_path: Path) -> None:
    run = make_quota_run(tmp_path, steps=2, per_category=20, budget=30)
    await synthesize(run, counting_of(run), RunOptions())
    steps = Counter(run.workspace.traces()["step"].to_pylist())
    assert steps == {0: 30, 1: 30}  # what later steps make of the candidates is none of them
    assert plan_due(run, counting_of(run)) == []


async def test_a_run_that_can_plan_nothing_says_why(tmp_path: Path) -> None:
    guided = make_run(tmp_path)
    guided = replace(guided, recipes={"mine": replace(TWO_STEPS, name="mine", guided=True)})
    nothing_made = replace(TWO_STEPS, steps=(Step(draft, items=no_items),))
    for run, field in (
        (guided, "guidelines"),
        (replace(make_run(tmp_path), train=[]), "seeds"),
        (replace(make_run(tmp_path), recipes={"two_steps": nothing_made}), "recipe"),
    ):
        with pytest.raises(BadInput) as caught:
            await synthesize(run, None, RunOptions())
        assert caught.value.field == field


async def test_what_was_interrupted_is_finished_before_the_next_step(tmp_path: Path) -> None:
    run = make_run(tmp_path, samples=1)
    leases = plan_due(run, None)
    runner = Runner(make_work(run, [factories.make_pool("tests.synth.scripts:repeat")], "f"))
    await runner.drain()
    for lease in leases:
        await runner.run(lease)
    assert set(run.workspace.traces()["outcome"].to_pylist()) == {"interrupted"}
    assert due_steps(run) == {"two_steps": 0}
    assert {(item.step, item.attempt) for item in due_items(run, None)} == {(0, 1)}
    await synthesize(run, None, RunOptions())
    assert Counter(run.workspace.traces()["step"].to_pylist()) == {0: 5, 1: 5}


async def test_leases_of_a_guideline_set_that_is_gone_wait_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guided = replace(ECHO, guided=True)
    both = factories.make_run(tmp_path, guided, ECHO_PATH, seeds=make_loaves(16), samples=1)
    sets = {name: replace(load_guidelines("srg"), name=name) for name in ("a", "b")}
    both = replace(both, recipes={"echo": guided}, guidelines=sets)
    assert len(plan_due(both, None)) == 2
    one = replace(both, guidelines={"a": sets["a"]})
    with caplog.at_level("INFO"):
        assert await synthesize(one, None, RunOptions()) == {"ok": 16}
    assert "1 owed leases and 0 interrupted items are of recipes, guideline sets" in caplog.text
    assert await synthesize(both, None, RunOptions()) == {"ok": 32}
