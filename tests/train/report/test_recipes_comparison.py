"""What recipes made and what that cost, by hand: tokens, acceptance, trainings."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.recipes import RECIPES
from synth.recipes.base import Models, Recipe, Step, Train
from synth.records import Item, Trace, digest
from tests.synth.traces import publish_traces
from train.evals.stats import Resampling
from train.report.recipes.counts import (
    Curated,
    first_rows,
    generation,
    learning,
    origin,
    ratio_of_sums,
    read_tries,
    share_of,
)

RESAMPLING = Resampling(resamples=400, seed=3)


async def write(item: Item, models: Models, guidelines: object) -> list[Trace]:
    """Never called: only the shape of the recipe counts here."""
    raise AssertionError(item)


TWICE = Recipe(
    name="twice",
    version=1,
    steps=(
        Step(write),
        Train(name="first", kind="sft"),
        Step(write, items=lambda before: [], roles=("student",), student="first"),
        Train(name="second", kind="dpo", pairs=lambda rows: []),
    ),
    guided=False,
)


def trace_row(seed: str, sample: int = 0, **given: Any) -> dict[str, Any]:
    """Return a trace of 10 tokens, but for what is given."""
    row_id = given.get("row_id", f"{seed}-{sample}")
    return {
        "row_id": row_id,
        "item_id": digest("item", row_id),
        "try": 0,
        "recipe": "refusal",
        "step": 0,
        "parents": [],
        "seed_id": seed,
        "pair": None,
        "sample_index": sample,
        "teacher": "teacher@1",
        "output_tokens": 10,
        "label": "harmful",
        "outcome": "ok",
    } | given


def generated(
    rows: Sequence[Mapping[str, Any]], accepted: Iterable[str] = (), **given: Any
) -> dict[str, Any]:
    """Return what is counted of rows of the recipe `refusal`, but for what is given."""
    undetermined = frozenset(given.pop("undetermined", ()))
    usual: dict[str, Any] = {
        "recipe": RECIPES["refusal"], "supervised": 0, "budget": None, "models": {},
    }  # fmt: skip
    chosen = usual | given
    return dict(
        generation(
            chosen.pop("recipe"),
            rows,
            Curated(accepted=frozenset(accepted), undetermined=undetermined),
            resampling=RESAMPLING,
            **chosen,
        )
    )


def test_tokens_items_and_acceptance_by_hand() -> None:
    rows = [trace_row(f"s{i}", sample) for i in range(4) for sample in (0, 1)]
    found = generated(rows, {"s0-0", "s0-1", "s1-0"}, undetermined={"s3-1"})
    assert found["generated_tokens"] == 80
    assert found["tokens_within_budget"] is None
    assert (found["items"], found["traces"], found["accepted"]) == (8, 8, 3)
    acceptance = found["acceptance"]
    assert acceptance["value"] == 0.375
    assert acceptance["method"] == "cluster bootstrap"
    assert (acceptance["prompts"], acceptance["answers"], acceptance["undetermined"]) == (4, 8, 1)
    assert acceptance["bounds"] == [0.375, 0.5]
    assert found["tokens_per_accepted_row"]["value"] == pytest.approx(80 / 3, abs=1e-6)


def test_a_try_that_failed_has_cost_its_tokens_but_is_no_trace() -> None:
    again = trace_row("s0", **{"try": 1}, output_tokens=7)
    found = generated([trace_row("s0", outcome="failed"), again, trace_row("s1")], {"s0-0"})
    assert found["generated_tokens"] == 27
    assert (found["items"], found["traces"]) == (2, 2)
    assert found["tokens_per_accepted_row"]["value"] == 27


def test_nothing_accepted_has_no_cost_a_row() -> None:
    rows = [trace_row(f"s{i}", sample) for i in range(5) for sample in range(8)]
    found = generated(rows)
    assert found["tokens_per_accepted_row"]["value"] is None
    assert found["acceptance"]["value"] == 0
    # As wide as for 5 seeds, not for the 40 traces of them.
    assert found["acceptance"]["high"] == pytest.approx(0.4345, abs=1e-3)


def test_a_recipe_without_traces_has_neither_rate_nor_cost() -> None:
    found = generated([])
    assert (found["generated_tokens"], found["traces"], found["accepted"]) == (0, 0, 0)
    assert found["acceptance"]["value"] is None
    assert found["acceptance"]["bounds"] is None


def test_what_came_after_the_budget_counts_as_generated_alone() -> None:
    rows = [trace_row(f"s{i}", sample) for sample in range(3) for i in range(4)]
    every = {row["row_id"] for row in rows}
    found = generated(rows, every, budget=80)
    assert found["generated_tokens"] == 120
    assert found["tokens_within_budget"] == 80
    assert found["over_budget"] == 4
    assert (found["traces"], found["accepted"]) == (8, 8)
    assert found["tokens_per_accepted_row"]["value"] == 10
    assert found["tokens_per_accepted_row"]["method"] == "none"


def test_tokens_that_nobody_counted_make_no_cost() -> None:
    found = generated([trace_row("s0", output_tokens=None), trace_row("s1")], {"s0-0", "s1-0"})
    assert found["uncounted_tries"] == 1
    assert found["tokens_per_accepted_row"]["value"] is None
    assert found["acceptance"]["value"] == 1


def test_steps_that_make_no_rows_cost_but_are_no_candidates() -> None:
    rows = [trace_row("s0"), trace_row("s1")]
    rows += [
        trace_row("s0", row_id=f"later-{i}", step=2, parents=["s0-0"], teacher="twice-first@a")
        for i in range(3)
    ]
    about = {"recipe": TWICE, "models": {"first": "twice-first@a"}}
    found = generated(rows, {"s0-0", "later-0"}, **about)
    assert (found["traces"], found["accepted"], found["acceptance"]["answers"]) == (5, 1, 2)
    assert found["tokens_per_accepted_row"]["value"] == 50


def test_traces_of_another_runs_student_count_nowhere() -> None:
    rows = [
        trace_row("s0"),
        trace_row("s0", row_id="own", step=2, parents=["s0-0"], teacher="twice-first@a"),
        trace_row("s0", row_id="other", step=2, parents=["s0-0"], teacher="twice-first@b"),
    ]
    found = generated(rows, recipe=TWICE, models={"first": "twice-first@a"})
    assert (found["generated_tokens"], found["traces"]) == (20, 2)


def test_every_try_of_every_lease_is_read(tmp_path: Path) -> None:
    assert read_tries(str(tmp_path)).num_rows == 0
    for attempt in (0, 1):
        publish_traces(str(tmp_path), [trace_row("s0", **{"try": attempt})])
    assert read_tries(str(tmp_path))["try"].to_pylist() == [0, 1]


AMOUNTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 900), st.integers(0, 5)), min_size=1
)


@given(AMOUNTS)
def test_a_ratio_is_that_of_the_sums_and_its_interval_is_ordered(
    amounts: list[tuple[str, int, int]],
) -> None:
    spent = [(cluster, cost) for cluster, cost, _ in amounts]
    gained = [(cluster, gain) for cluster, _, gain in amounts]
    found = ratio_of_sums(spent, gained, Resampling(resamples=100, seed=0))
    total = sum(gain for _, gain in gained)
    if not total:
        assert found.value is None
        return
    assert found.value == pytest.approx(sum(cost for _, cost in spent) / total)
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.high


def test_one_cluster_has_no_interval() -> None:
    found = ratio_of_sums([("a", 30), ("a", 11)], [("a", 2)], RESAMPLING)
    assert (found.value, found.low, found.method) == (20.5, None, "none")


def test_single_answers_have_wilsons_interval() -> None:
    found = share_of([(f"s{i}", i < 5) for i in range(100)], RESAMPLING)
    assert found.method == "wilson"
    assert (found.low, found.high) == pytest.approx((0.022, 0.112), abs=1e-3)


def test_trainings_their_rows_and_pairs() -> None:
    weights = [{"path": "model.safetensors", "bytes": 5}, {"path": "config.json", "bytes": 2}]
    first = {"rows": 40, "base": {"name": "embedded"}, "files": weights}
    done = {"twice-first": first, "twice": {"rows": 9, "base": {"name": "twice-first"}}}
    curated = {"pairs": {"twice": {"second": {"outcome": 7, "process": 4}}}}
    found = learning(TWICE, done, curated)
    assert found["models"] == ["first", "second"]
    assert found["trained_rows"] == {"total": 49, "by_training": {"first": 40, "second": 9}}
    assert found["pairs"] == {"second": 11}
    assert first_rows(TWICE, done) == 40
    assert origin(TWICE, done) == {"name": "embedded", "bytes": 5}


def test_a_recipe_that_is_not_trained_has_no_rows() -> None:
    found = learning(RECIPES["srg"], {}, {})
    assert found["models"] == []
    assert found["trained_rows"]["total"] is None
    assert first_rows(RECIPES["srg"], {}) is origin(RECIPES["srg"], {}) is None
