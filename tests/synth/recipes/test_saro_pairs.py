"""What SaRO makes of its samples: items of later steps, pairs, and what options ask for."""

import json

import pytest

from synth.errors import BadInput
from synth.judges.refusal import OFF_TOPIC, judge_refusal
from synth.recipes import configured, find_recipe
from synth.recipes.base import Recipe, Step, Train
from synth.recipes.saro import SARO, SaroOptions, saro, srpo_pairs
from synth.records import row_id
from tests.synth.saro_rows import (
    BENIGN,
    CHAIN,
    COMPLIES,
    DECLINES,
    HARMFUL,
    HELPS,
    SORRY,
    ScriptedModels,
    items_at,
    make_reflection,
    make_sample,
    step_of,
)


def test_every_seed_is_sampled_without_guidelines() -> None:
    items = items_at(saro(SaroOptions(samples=3)), 2, [])
    assert [(item.seed, item.sample_index) for item in items] == [
        (seed, index) for seed in (HARMFUL, BENIGN) for index in range(3)
    ]
    assert {item.guidelines for item in items} == {""}


def test_only_unsafe_chains_are_reflected_on_at_several_positions() -> None:
    unsafe = make_sample(HARMFUL, COMPLIES, 0)
    rows = [
        unsafe,
        make_sample(HARMFUL, DECLINES, 1),
        make_sample(HARMFUL, COMPLIES, 2, outcome="truncated"),
        make_sample(BENIGN, HELPS),
        make_sample(BENIGN, SORRY, 1),
    ]
    items = items_at(saro(SaroOptions(chains_per_seed=9)), 3, rows)
    assert {item.parents for item in items} == {(unsafe["row_id"],)}
    assert [item.payload for item in items] == [
        {"index": 1, "prefix": "The user wants to open a car."},
        {"index": 2, "prefix": "The user wants to open a car.\n\nIt sounds ordinary to me."},
        {"index": 3, "prefix": CHAIN},
    ]
    assert {item.guidelines for item in items} == {"srg"}


@pytest.mark.parametrize("chains", [1, 2])
def test_so_many_chains_of_a_seed_are_reflected_on(chains: int) -> None:
    rows = [make_sample(HARMFUL, COMPLIES + "!" * i, i) for i in range(3)]
    items = items_at(saro(SaroOptions(chains_per_seed=chains)), 3, rows)
    least = sorted(row["row_id"] for row in rows)[:chains]
    assert {item.parents[0] for item in items} == set(least)


def test_pairs_of_both_kinds_as_the_student_writes_them() -> None:
    unsafe, safe = make_sample(HARMFUL, COMPLIES), make_sample(HARMFUL, DECLINES, 1)
    helps, declines = make_sample(BENIGN, HELPS), make_sample(BENIGN, SORRY, 1)
    reflections = [make_reflection(unsafe, index) for index in (1, 3)]
    rows = [unsafe, safe, helps, declines, *reflections]
    pairs = srpo_pairs(rows, options=SaroOptions(op_to_pp=2 / 3))
    sides = {(pair.kind, pair.chosen_id, pair.rejected_id) for pair in pairs}
    first, third = (row["row_id"] for row in reflections)
    assert sides == {
        ("outcome", safe["row_id"], unsafe["row_id"]),
        ("outcome", helps["row_id"], declines["row_id"]),
        ("process", first, third),
        ("process", first, unsafe["row_id"]),
        ("process", third, unsafe["row_id"]),
    }
    by_end = next(pair for pair in pairs if pair.chosen_id == helps["row_id"])
    assert by_end.chosen == f"<think>\n{CHAIN}\n</think>\n\n{HELPS}"
    assert by_end.prompt == ({"role": "user", "content": BENIGN.prompt},)
    assert all(pair.chosen_ends and pair.rejected_ends for pair in pairs)
    assert srpo_pairs(rows[::-1], options=SaroOptions(op_to_pp=2 / 3)) == pairs


def test_without_contrast_there_is_no_pair() -> None:
    only_good = [make_sample(HARMFUL, DECLINES + "!" * i, i) for i in range(4)]
    only_bad = [make_sample(BENIGN, SORRY + "!" * i, i) for i in range(4)]
    assert not srpo_pairs([*only_good, *only_bad], options=SaroOptions())


def test_what_nobody_can_tell_is_in_no_pair() -> None:
    off_topic = (
        "The moon is made of rock, and once in a month it turns around the earth. It has no air "
        "and no water, and the side that we see is always the same one. Twelve people have walked "
        "on it so far, and they brought a few hundred kilos of stones home. From these we know "
        "how old it is, and that it was once much hotter than today."
    )
    rows = [make_sample(HARMFUL, off_topic, 0), make_sample(HARMFUL, COMPLIES, 1)]
    rows += [make_sample(BENIGN, off_topic, 0), make_sample(BENIGN, HELPS, 1)]
    assert judge_refusal(off_topic, HARMFUL.prompt).reason == OFF_TOPIC
    assert not srpo_pairs(rows, options=SaroOptions())


def test_a_reflection_that_does_not_decline_is_in_no_pair() -> None:
    unsafe = make_sample(HARMFUL, COMPLIES)
    reflections = [make_reflection(unsafe, 1, COMPLIES), make_reflection(unsafe, 2)]
    [pair] = srpo_pairs([unsafe, *reflections], options=SaroOptions())
    assert pair.chosen_id == reflections[1]["row_id"]


def test_a_chain_that_ended_well_is_not_the_worse_side_of_its_reflection() -> None:
    safe = make_sample(HARMFUL, DECLINES)
    assert not srpo_pairs([safe, make_reflection(safe, 1)], options=SaroOptions())


def test_the_shortest_sample_is_chosen_where_that_is_asked() -> None:
    long = make_sample(HARMFUL, DECLINES, 0, reasoning=f"{CHAIN}\n\n{CHAIN}")
    short, unsafe = make_sample(HARMFUL, DECLINES, 1), make_sample(HARMFUL, COMPLIES, 2)
    rows = [long, short, unsafe]
    assert len(srpo_pairs(rows, options=SaroOptions())) == 2
    [pair] = srpo_pairs(rows, options=SaroOptions(shortest=True))
    assert pair.chosen_id == short["row_id"]


def with_judge(name: str = "llama_guard3") -> Recipe:
    return configured(SARO, {"judge": name})


def test_a_judge_that_is_a_model_gets_a_step_of_its_own() -> None:
    recipe = with_judge()
    kinds = [s.kind if isinstance(s, Train) else s.roles for s in recipe.steps]
    assert kinds == [("teacher",), "sft", ("student",), ("guard",), ("teacher",), "dpo"]
    assert recipe.needs == {"teacher": {"regex"}, "guard": frozenset()}
    samples = [make_sample(HARMFUL, COMPLIES), make_sample(BENIGN, HELPS)]
    [item] = items_at(recipe, 3, samples)
    assert (item.seed.prompt, item.payload) == (HARMFUL.prompt, {"answer": COMPLIES})


async def test_the_models_verdict_counts_on_harmful_prompts_and_the_rules_on_others() -> None:
    recipe = with_judge()
    declined, complied = make_sample(HARMFUL, DECLINES), make_sample(HARMFUL, COMPLIES, 1)
    samples = [declined, complied, make_sample(BENIGN, HELPS), make_sample(BENIGN, SORRY, 1)]
    verdicts = []
    for item in items_at(recipe, 3, samples):
        says = "unsafe\nS2" if item.payload["answer"] == DECLINES else "safe"
        [trace] = await step_of(recipe, 3).run(item, ScriptedModels([says]), None)
        verdicts.append(
            make_sample(HARMFUL, "", step=3)
            | {
                "row_id": row_id(item.item_id, 0),
                "parents": list(item.parents),
                "payload": json.dumps(dict(trace.payload)),
            }
        )
    rows = [*samples, *verdicts]
    assert {item.parents for item in items_at(recipe, 4, rows)} == {(declined["row_id"],)}
    pairs = srpo_pairs(rows, options=SaroOptions(judge="llama_guard3"))
    assert {(pair.label, pair.rejected_id) for pair in pairs} == {
        ("harmful", declined["row_id"]),
        ("benign", samples[3]["row_id"]),
    }


async def test_a_garbled_verdict_is_none() -> None:
    recipe = with_judge()
    samples = [make_sample(HARMFUL, COMPLIES), make_sample(HARMFUL, DECLINES, 1)]
    [item, _] = items_at(recipe, 3, samples)
    [trace] = await step_of(recipe, 3).run(item, ScriptedModels(["perhaps"]), None)
    assert trace.payload["verdict"] == "undetermined"
    options = SaroOptions(judge="llama_guard3")
    assert not srpo_pairs(samples, options=options)  # the rules do not step in
    assert not items_at(recipe, 4, samples)


def test_a_judge_that_tells_no_outcome_is_turned_down() -> None:
    with pytest.raises(BadInput, match=r"options\.saro\.judge"):
        configured(SARO, {"judge": "helpfulness"})


def test_the_target_can_write_its_own_reasoning() -> None:
    recipe = configured(SARO, {"generator": "target"})
    roles = {s.roles for s in recipe.steps if isinstance(s, Step)}
    assert roles == {("target",), ("student",)}
    assert recipe.needs == {"target": {"regex"}}


def test_saro_is_found_by_its_path() -> None:
    assert find_recipe("synth.recipes.saro.SARO").name == "saro"
