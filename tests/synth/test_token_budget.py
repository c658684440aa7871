"""Equal generated tokens: who samples on, and what is left out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import BadInput
from synth.recipes.base import Recipe, Step
from synth.token_budget import ACCOUNT_SCHEMA, over_budget, phases, samples_for
from tests.synth.iterated import ITERATED, answer, write

CHAIN = Recipe(name="chain", version=1, steps=(Step(write), Step(answer, items=lambda before: ())))


def make_row(name: str, step: int, tokens: int, *, sample: int = 0, parent: str = "") -> Any:
    return {
        "row_id": name,
        "item_id": name,
        "step": step,
        "sample_index": sample,
        "parents": [parent] if parent else [],
        "output_tokens": tokens,
    }


def traces(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), ACCOUNT_SCHEMA)


def test_phases_lie_between_trainings() -> None:
    assert phases(ITERATED) == [[0], [2], [4]]
    assert phases(CHAIN) == [[0, 1]]


def test_a_recipe_samples_on_until_its_tokens_are_spent() -> None:
    rows = [make_row("a", 0, 60), make_row("b", 0, 40, sample=1), make_row("c", 1, 100, parent="a")]
    assert samples_for(1000, CHAIN, traces(rows), 2) == 10  # 100 tokens a sample, of both steps
    assert samples_for(100, CHAIN, traces(rows), 2) == 2
    assert samples_for(1000, CHAIN, traces([]), 2) == 2
    assert (
        samples_for(300, ITERATED, traces([make_row("a", 0, 50)]), 1) == 2
    )  # a third for each phase


def test_no_more_is_sampled_where_the_last_samples_took_nothing() -> None:
    rows = [make_row("a", 0, 50), make_row("b", 0, 0, sample=1)]
    assert samples_for(1000, CHAIN, traces(rows), 1) == 2
    assert samples_for(1000, CHAIN, traces([make_row("a", 0, 0)]), 1) == 1
    later = make_row("after b", 1, 50, parent="b")
    assert samples_for(1000, CHAIN, traces([*rows, later]), 1) == 20


def test_tokens_that_nobody_counts_can_not_be_spent() -> None:
    rows = [{**make_row(name, 0, 0), "output_tokens": None} for name in ("a", "b")]
    with pytest.raises(BadInput, match="recipe chain") as refused:
        samples_for(1000, CHAIN, traces(rows), 1)
    assert (refused.value.field, refused.value.value) == ("tokens", 1000)
    assert samples_for(1000, CHAIN, traces([*rows, make_row("c", 0, 500)]), 1) == 2


def test_a_row_counts_with_what_was_made_from_it() -> None:
    rows = [
        make_row("a", 0, 10),
        make_row("b", 0, 10, sample=1),
        make_row("after a", 1, 50, parent="a"),
        make_row("after b", 1, 50, parent="b"),
    ]
    assert over_budget(120, CHAIN, traces(rows)) == set()
    assert over_budget(119, CHAIN, traces(rows)) == {"b", "after b"}
    assert over_budget(59, CHAIN, traces(rows)) == {"a", "after a", "b", "after b"}


def test_each_phase_keeps_to_its_part() -> None:
    rows = [make_row("a", 0, 60), make_row("b", 2, 60), make_row("c", 2, 60, sample=1)]
    assert over_budget(180, ITERATED, traces(rows)) == {
        "c"
    }  # the last phase leaves its part to none
    assert over_budget(179, ITERATED, traces(rows)) == {"a", "b", "c"}


ROWS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 3), st.booleans()), min_size=1, max_size=30
)


@given(ROWS, st.integers(1, 1500), st.randoms())
def test_what_stays_fits_the_budget_in_any_order(
    made: list[tuple[int, int, bool]], budget: int, random: Any
) -> None:
    rows: list[Mapping[str, Any]] = []
    for index, (tokens, sample, follows) in enumerate(made):
        rows.append(make_row(f"r{index}", 0, tokens, sample=sample))
        if follows:
            rows.append(make_row(f"f{index}", 1, tokens, parent=f"r{index}"))
    over = over_budget(budget, CHAIN, traces(rows))
    assert sum(row["output_tokens"] for row in rows if row["row_id"] not in over) <= budget
    for row in rows:
        for parent in row["parents"]:
            assert (row["row_id"] in over) == (parent in over)
    random.shuffle(rows)
    assert over_budget(budget, CHAIN, traces(rows)) == over
    assert over_budget(budget + 1, CHAIN, traces(rows)) <= over
