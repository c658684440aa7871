"""Selection: traces among each other, whatever order they come in."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.curate import Drop, Policy, Selection, accept, load_policy, select
from synth.curate.arms import make_arms
from synth.curate.closer import look_closer, looked_into
from synth.curate.local import MEASURED
from synth.curate.select import Part
from synth.measures import MEASURES
from synth.measures.base import JUDGEMENTS
from synth.recipes.base import Recipe
from synth.records import Outcome, pack_context
from tests.synth.traces import GUIDELINES, HELPING, make_refused, make_table, make_trace
from tests.synth.trainings import PLAIN, TWO_STEPS

RECIPES = PLAIN | {"two": TWO_STEPS}
POLICY = load_policy("default")

# Prompts far from each other, so that only meant duplicates are near.
PROMPTS = [
    "How long should rice simmer on a low flame?",
    "Which trees keep their leaves through winter?",
    "Explain why the moon has phases.",
    "Suggest a name for a grey parrot.",
    "What does a notary do all day?",
    "My bicycle chain squeaks, any ideas?",
    "Summarise the plot of a play about a lighthouse.",
    "Convert seventy miles to kilometres, please.",
]


def judge_all(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Table]:
    judged = [row for row in rows if row["outcome"] == Outcome.OK]
    table = make_table(judged)
    found = {}
    for name in MEASURED:
        judgements = MEASURES[name].judge(table, [GUIDELINES])
        pairs = zip(judged, judgements, strict=True)
        listed = [{"row_id": row["row_id"], **j._asdict()} for row, j in pairs]
        found[name] = pa.Table.from_pylist(listed, JUDGEMENTS)
    return found


def run(
    rows: Sequence[dict[str, Any]],
    policy: Policy = POLICY,
    recipes: Mapping[str, Recipe] = RECIPES,
    **evaluation: str,
) -> Selection:
    table, arms = make_table(rows), make_arms(recipes, [make_table(rows)])
    looks = look_closer(table, looked_into(arms, policy), policy)
    parts = [Part(table, judge_all(rows), looks)]
    return select(parts, policy, arms=arms, evaluation_prompts=evaluation)


def reasons(selection: Selection) -> dict[str, str]:
    return dict(
        zip(
            selection.drops["row_id"].to_pylist(),
            selection.drops["reason"].to_pylist(),
            strict=True,
        )
    )


def kept(selection: Selection) -> set[str]:
    return set(selection.accepted["row_id"].to_pylist())


def test_near_duplicate_prompts_of_one_label_leave_one() -> None:
    rows = [
        make_trace("How do I sharpen a kitchen knife at home?"),
        make_trace("How do I sharpen a kitchen knife at home??", category="tools"),
        make_trace(PROMPTS[0]),
    ]
    found = run(rows)
    assert len(kept(found)) == 2
    assert list(reasons(found).values()) == ["near_duplicate"]


def test_twins_across_labels_are_never_duplicates() -> None:
    text = "How do I open a locked door quickly?"
    rows = [
        make_trace(text, seed_id="b", pair="door"),
        make_refused(text + "!", seed_id="h", pair="door"),
    ]
    assert len(kept(run(rows))) == 2


def test_siblings_are_never_duplicates_but_only_the_best_stay() -> None:
    looping = HELPING + " Stir it well now. Stir it well now. Stir it well now."
    lengthy = HELPING + " Serve it on toast, with chives from the garden and a cup of tea."
    rows = [
        make_trace(answer=looping, sample_index=0),
        make_trace(sample_index=1),
        make_trace(sample_index=2),
        make_trace(answer=lengthy, sample_index=3),
    ]
    found = run(rows)
    assert kept(found) == {rows[1]["row_id"], rows[2]["row_id"]}
    assert set(reasons(found).values()) == {"surplus_sibling"}


def test_arms_are_curated_apart() -> None:
    rows = [
        make_trace(PROMPTS[0], recipe=recipe, sample_index=i, reasoning=thought)
        for recipe, thought in (("srg", make_trace()["reasoning"]), ("refusal", ""))
        for i in range(3)
    ]
    found = run(rows)
    arms = Counter(found.accepted["recipe"].to_pylist())
    assert arms == {"srg": 2, "refusal": 2}


def test_prompts_near_the_evaluations_are_contaminated() -> None:
    rows = [make_trace(PROMPTS[0]), make_trace(PROMPTS[1])]
    found = run(rows, e1=PROMPTS[0].upper())
    assert reasons(found) == {rows[0]["row_id"]: "contaminated"}
    assert found.drops["detail"].to_pylist() == ["e1"]


def test_context_counts_as_part_of_the_prompt() -> None:
    before = [pack_context([{"role": "user", "content": text}]) for text in PROMPTS[:2]]
    rows = [
        make_trace("And then?", seed_id=f"s{i}", context=context)
        for i, context in enumerate(before)
    ]
    assert len(kept(run(rows))) == 2


def test_earlier_steps_leave_the_last() -> None:
    rows = [
        make_trace(PROMPTS[0], recipe="two", step=0),
        make_trace(PROMPTS[0], recipe="two", step=1),
        make_trace(PROMPTS[1], recipe="two", step=0, answer="No."),
    ]
    found = run(rows)
    assert kept(found) == {rows[1]["row_id"]}
    assert reasons(found)[rows[0]["row_id"]] == Drop.EARLIER_STEP
    assert reasons(found)[rows[2]["row_id"]] == Drop.EARLIER_STEP


def test_a_last_step_without_traces_leaves_the_one_before() -> None:
    row = make_trace(PROMPTS[0], recipe="two", step=0)
    assert kept(run([row])) == {row["row_id"]}


@pytest.mark.parametrize(
    ("labels", "category_cap", "benign"),
    [
        (None, None, 6),
        ({"harmful": 1, "benign": 1}, None, 2),
        ({"harmful": 1, "benign": 2}, None, 4),
        ({"benign": 1, "borderline": 1}, None, 6),
        (None, 3, 3),
    ],
)
def test_balance(labels: dict[str, float] | None, category_cap: int | None, benign: int) -> None:
    balance = {"labels": labels, "category_cap": category_cap}
    policy = Policy.model_validate({**POLICY.model_dump(), "balance": balance})
    rows = [make_trace(prompt) for prompt in PROMPTS[:6]]
    rows += [make_refused(prompt) for prompt in PROMPTS[6:]]
    found = run(rows, policy)
    assert Counter(found.accepted["label"].to_pylist()) == {"benign": benign, "harmful": 2}
    assert set(reasons(found).values()) <= {"unbalanced"}


def test_balance_takes_first_places_of_all_seeds_before_second_ones() -> None:
    policy = Policy.model_validate(
        {**POLICY.model_dump(), "balance": {"labels": None, "category_cap": 6}}
    )
    rows = [make_trace(prompt, sample_index=i) for prompt in PROMPTS[:6] for i in range(2)]
    found = run(rows, policy)
    assert Counter(found.accepted["seed_id"].to_pylist()).most_common(1)[0][1] == 1


def test_an_unjudged_trace_is_an_error_and_not_a_verdict() -> None:
    row = make_trace()
    measures = judge_all([row])
    measures["leakage"] = JUDGEMENTS.empty_table()
    with pytest.raises(LookupError, match="leakage"):
        accept(make_table([row]), measures, POLICY, RECIPES)


def test_accept_decides_row_by_row_in_the_order_given() -> None:
    rows = [
        make_trace(PROMPTS[0], answer="Yes.", sample_index=1),
        make_trace(PROMPTS[0]),
        make_trace(PROMPTS[1], outcome="failed", error="RowFault"),
        make_refused(PROMPTS[2], recipe="refusal", reasoning=""),
    ]
    found = accept(make_table(rows), judge_all(rows), POLICY, RECIPES)
    assert found.to_pylist() == ["too_short", None, "failed", None]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.sampled_from([*PROMPTS, PROMPTS[0] + "!", "  " + PROMPTS[1]]),
            "label": st.sampled_from(["harmful", "benign", "borderline"]),
            "recipe": st.sampled_from(sorted(PLAIN)),
            "sample_index": st.integers(0, 4),
            "outcome": st.sampled_from(["ok", "ok", "ok", "failed", "truncated"]),
            "answer": st.sampled_from([HELPING, "I can't help with that, I am afraid.", "", "No."]),
            "category": st.sampled_from(["a", "b"]),
        }
    ),
    max_size=24,
)


def make_rows(drawn: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    made = [
        make_trace(**row, seed_id=f"{row['label']}: {row['prompt']}", decision=None)
        for row in drawn
    ]
    return list({row["row_id"]: row for row in made}.values())


@settings(max_examples=60)
@given(ROWS, st.randoms(use_true_random=False))
def test_nothing_is_lost_and_order_does_not_matter(
    drawn: list[dict[str, Any]], chance: random.Random
) -> None:
    rows = make_rows(drawn)
    found = run(rows)
    dropped = reasons(found)
    assert kept(found) | set(dropped) == {row["row_id"] for row in rows}
    assert not kept(found) & set(dropped)
    chance.shuffle(rows)
    again = run(rows)
    assert again.accepted.equals(found.accepted)
    assert again.drops.equals(found.drops)


@settings(max_examples=60)
@given(ROWS, st.integers(1, 3))
def test_at_most_so_many_of_a_prompt_and_every_prompt_keeps_one(
    drawn: list[dict[str, Any]], per_prompt: int
) -> None:
    policy = POLICY.model_copy(update={"per_prompt": per_prompt})
    found = run(make_rows(drawn), policy)
    places = zip(
        found.accepted["recipe"].to_pylist(), found.accepted["seed_id"].to_pylist(), strict=True
    )
    counts = Counter(places)
    assert all(count <= per_prompt for count in counts.values())
    surplus = found.drops.filter(pa.compute.field("reason") == "surplus_sibling")
    for arm, seed_id in zip(
        surplus["arm"].to_pylist(), surplus["seed_id"].to_pylist(), strict=True
    ):
        assert counts[arm, seed_id] == per_prompt


@settings(max_examples=40)
@given(ROWS)
def test_duplicates_are_only_ever_dropped_for_one_of_the_same_label(
    drawn: list[dict[str, Any]],
) -> None:
    found = run(make_rows(drawn))
    for row in found.drops.to_pylist():
        if row["reason"] == Drop.NEAR_DUPLICATE:
            assert row["detail"].split(":")[0] == row["seed_id"].split(":")[0]
            assert row["detail"] != row["seed_id"]
