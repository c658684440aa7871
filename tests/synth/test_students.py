"""Recipes with trainings: what waits for which model, what stays, and what no longer counts."""

from dataclasses import replace
from pathlib import Path

import pytest

from synth import rounds, storage, students
from synth.config.schema import ModelConfig
from synth.curate.rules import Drop
from synth.dataset import excluded_traces
from synth.errors import BadInput
from synth.recipes.base import Recipe, Step, Train
from synth.rounds import due_steps, plan_due
from synth.run import Run
from synth.students import (
    check_recipe,
    has_later_steps,
    own_training,
    start_of,
    student_name,
    trainings,
)
from synth.synthesize import RunOptions, next_session, synthesize
from tests.synth.factories import make_loaves, make_run
from tests.synth.iterated import (
    ITERATED,
    WANTED,
    answer,
    by_step,
    no_pairs,
    pretend_trained,
    scripted_student,
    write,
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of the iterated recipe, whose students are scripts."""
    monkeypatch.setattr(students, "trained_model", scripted_student)
    monkeypatch.setattr("synth.synthesize.trained_model", scripted_student)
    path = "tests.synth.iterated.ITERATED"
    return make_run(tmp_path, ITERATED, path, seeds=make_loaves(2), samples=2)


async def make(run: Run) -> dict[int, int]:
    """Generate what can be, and return the rows there are by step."""
    await synthesize(run, None, RunOptions())
    assert run.workspace.owed() == []
    return by_step(run.workspace.traces().to_pylist())


async def test_steps_wait_for_the_model_they_sample_from(run: Run) -> None:
    assert await make(run) == {0: 4}
    assert due_steps(run) == {}
    pretend_trained(run.config, "iterated-first")
    assert due_steps(run) == {"iterated": 2}
    assert await make(run) == {0: 4, 2: WANTED}
    pretend_trained(run.config, "iterated")
    assert await make(run) == {0: 4, 2: WANTED, 4: WANTED}
    assert await make(run) == {0: 4, 2: WANTED, 4: WANTED}


async def test_a_model_trained_anew_is_asked_anew_and_old_rows_no_longer_count(run: Run) -> None:
    await make(run)
    pretend_trained(run.config, "iterated-first")
    pretend_trained(run.config, "iterated")
    await make(run)
    assert set(excluded_traces(run)) == set()
    old = {r["row_id"] for r in run.workspace.traces().to_pylist() if r["step"] > 0}
    pretend_trained(run.config, "iterated-first", version=2)
    # The second model's rows were made from the first one's.
    assert set(excluded_traces(run)) == old
    assert await make(run) == {0: 4, 2: 2 * WANTED, 4: 2 * WANTED}
    rows = run.workspace.traces().to_pylist()
    fresh = [r for r in rows if r["step"] == 2 and r["row_id"] not in set(excluded_traces(run))]
    assert {row["answer"].split(":")[0] for row in fresh} == {"Again"}


async def test_what_was_planned_for_another_student_is_never_asked_of_this_one(run: Run) -> None:
    await make(run)
    pretend_trained(run.config, "iterated-first")
    plan_due(run, None)
    pretend_trained(run.config, "iterated-first", version=2)
    await synthesize(run, None, RunOptions())
    rows = [row for row in run.workspace.traces().to_pylist() if row["step"] == 2]
    invalid = [row for row in rows if row["outcome"] == "invalid"]
    assert len(invalid) == 3
    assert "trained anew" in invalid[0]["error"]
    assert len(rows) - len(invalid) == WANTED


async def test_rows_and_leases_of_steps_that_are_no_more_do_not_count(run: Run) -> None:
    await make(run)
    pretend_trained(run.config, "iterated-first")
    await make(run)
    pretend_trained(run.config, "iterated")
    plan_due(run, None)
    assert {lease.step for lease in run.workspace.owed()} == {4}
    shorter = replace(ITERATED, steps=ITERATED.steps[:2])
    fewer = replace(run, recipes={shorter.name: shorter})
    assert plan_due(fewer, None) == []
    assert due_steps(fewer) == {}
    current = students.current_traces(shorter, run.workspace.traces(), {})
    assert by_step(current.to_pylist()) == {0: 4}


async def test_a_step_says_how_many_rows_its_leases_have(run: Run) -> None:
    await make(run)
    for name in ("iterated-first", "iterated"):
        pretend_trained(run.config, name)
        await make(run)
    leases = list(run.workspace.plan().leases)
    assert {lease.num_rows for lease in leases if lease.step == 4} == {1}
    assert {lease.num_rows for lease in leases if lease.step == 2} == {3, 1}


async def test_a_session_serves_one_student(run: Run) -> None:
    first = plan_due(run, None)
    opened = next_session(run, first)
    assert opened is not None
    assert (opened.student, sorted(opened.roles)) == ("", ["teacher"])
    await make(run)
    pretend_trained(run.config, "iterated-first")
    opened = next_session(run, rounds.plan_due(run, None))
    assert opened is not None
    assert (opened.student, sorted(opened.roles)) == ("iterated-first", ["student"])
    of_second = opened.leases[0]._replace(step=4)
    assert opened.able(run, [*opened.leases, of_second]) == [*opened.leases]
    storage.remove(f"{run.workspace.path}/models/iterated-first/manifest.json")
    assert next_session(run, run.workspace.owed()) is None


def test_roles_that_can_not_live_together_have_sessions_of_their_own(run: Run) -> None:
    judged = Recipe(
        name="judged",
        version=1,
        steps=(Step(write), Step(answer, items=lambda before: (), roles=("judge",))),
        guided=False,
    )
    here = {"teacher": ModelConfig(model="embedded"), "judge": ModelConfig(model="other/model")}
    config = run.config.model_copy(update=here)
    apart = replace(run, config=config, recipes={"judged": judged})
    [lease, *_] = plan_due(apart, None)
    opened = next_session(apart, [lease])
    assert opened is not None
    assert sorted(opened.roles) == ["teacher"]
    together = replace(
        apart, config=config.model_copy(update={"judge": ModelConfig(model="embedded")})
    )
    opened = next_session(together, [lease])
    assert opened is not None
    assert sorted(opened.roles) == ["judge", "teacher"]


def test_names_and_starts_of_trainings() -> None:
    first, second, grade = trainings(ITERATED)
    assert own_training(ITERATED) == second
    names = [student_name(ITERATED, train.name) for train in (first, second, grade)]
    assert names == ["iterated-first", "iterated", "iterated-grade"]
    assert [start_of(ITERATED, train) for train in (first, second, grade)] == [
        None,
        "first",
        "second",
    ]
    assert [has_later_steps(ITERATED, train.name) for train in (first, second, grade)] == [
        True,
        True,
        False,
    ]


def test_a_recipe_without_trainings_has_one() -> None:
    plain = Recipe(name="plain", version=1, steps=(Step(write),))
    assert [train.kind for train in trainings(plain)] == ["sft"]
    assert student_name(plain, trainings(plain)[0].name) == "plain"
    assert not has_later_steps(plain, trainings(plain)[0].name)


@pytest.mark.parametrize(
    "steps",
    [
        (Step(write), Step(answer, items=lambda before: (), student="never")),
        (Step(write), Train(name="a", kind="sft", start="never")),
        (Step(write), Train(name="a", kind="sft"), Train(name="a", kind="sft")),
        (
            Step(write),
            Step(answer, items=lambda before: (), student="a"),
            Train(name="a", kind="sft"),
        ),
        (Train(name="a", kind="sft"), Step(write)),
        (Step(write), Step(answer)),
        (Step(write), Train(name="a", kind="dpo")),
        (Step(write), Train(name="a", kind="reward", pairs=no_pairs)),
        (
            Step(write),
            Train(name="a", kind="dpo", pairs=no_pairs),
            Step(answer, items=lambda before: ()),
            Train(name="b", kind="sft"),
        ),
    ],
)
def test_a_recipe_that_goes_on_from_nothing_is_refused(steps: tuple[Step | Train, ...]) -> None:
    with pytest.raises(BadInput):
        check_recipe(Recipe(name="broken", version=1, steps=steps))


async def test_a_recipe_samples_on_until_its_tokens_are_spent(run: Run) -> None:
    tokens = run.config.model_copy(update={"tokens": 300, "samples": 1})
    spending = replace(run, config=tokens)
    await make(spending)
    rows = run.workspace.traces().to_pylist()
    spent = sum(row["output_tokens"] for row in rows)
    dearest = max(row["output_tokens"] for row in rows)
    assert 100 <= spent < 100 + 2 * dearest * 2  # a third for each phase; a round is two seeds
    assert await make(spending) == {0: len(rows)}


async def test_what_came_after_the_tokens_were_spent_is_excluded(run: Run) -> None:
    await make(run)
    rows = run.workspace.traces().to_pylist()
    dearest = max(row["output_tokens"] for row in rows)
    enough = 3 * sum(row["output_tokens"] for row in rows)  # a third for each phase
    found = [
        excluded_traces(replace(run, config=run.config.model_copy(update={"tokens": tokens})))
        for tokens in (enough, enough - 1, dearest // 2)
    ]
    assert [len(excluded) for excluded in found] == [0, 1, len(rows)]
    assert {reason for excluded in found for reason in excluded.values()} == {Drop.OVER_BUDGET}
