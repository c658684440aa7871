"""What seeds and a policy can give: what is counted on is what curation keeps of fit traces."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.config.schema import Accepted
from synth.curate.policy import load_policy
from synth.curate.supply import Supply, check_quota, hold_tested
from synth.errors import BadInput
from synth.recipes.base import Recipe, Train
from synth.records import Seed, digest
from synth.seeds.near_duplicates import contaminated, near_duplicates
from tests.synth.factories import make_seed
from tests.synth.trainings import PLAIN, SRG

POLICY = load_policy("default")
STEMS = [f"{digest(i, 'stem')} {digest('stem', i)}" for i in range(6)]


def make_seeds(*groups: tuple[int, int], label: str = "benign") -> list[Seed]:
    """Make up seeds: each group is of so many prompts, each in so many near forms."""
    return [
        make_seed(f"{digest(g, i)} {digest('b', g, i)}{'!' * form}?", label=label, category=f"c{g}")
        for g, (prompts, forms) in enumerate(groups)
        for i in range(prompts)
        for form in range(forms)
    ]


def check(
    seeds: list[Seed],
    *,
    per_category: int,
    budget: int = 9_999,
    recipes: Mapping[str, Recipe] = PLAIN,
    tested: Mapping[str, str] | None = None,
    **policy: Any,
) -> None:
    quota = Accepted(per_category=per_category, budget=budget)
    check_quota(quota, POLICY.model_copy(update=policy), recipes, seeds, tested or {})


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STEMS), st.sampled_from("!?;,"), st.sampled_from("xyz"))),
    st.sets(st.sampled_from(STEMS), max_size=2),
    st.randoms(use_true_random=False),
)
def test_the_seeds_taken_are_apart_and_no_other_could_join_them(
    drawn: list[tuple[str, str, str]], tested: set[str], shuffle: random.Random
) -> None:
    made = (make_seed(stem + mark, category=category) for stem, mark, category in drawn)
    seeds = list({seed.seed_id: seed for seed in made}.values())
    evaluation = {stem: stem for stem in tested}
    supply = Supply(seeds, POLICY, hold_tested(POLICY, evaluation))
    shuffle.shuffle(cells := supply.cells)
    taken = {seed.seed_id for cell in cells for seed in supply.seeds(*cell)}
    texts = {seed.seed_id: seed.prompt for seed in seeds}
    assert taken == supply.apart
    mine = {key: texts[key] for key in taken}
    assert not near_duplicates(mine, POLICY.near_duplicate)
    assert not contaminated(mine, evaluation, POLICY.decontaminate)
    near = contaminated(texts, {**mine, **evaluation}, POLICY.near_duplicate)
    assert near.keys() == texts.keys()


def test_seeds_that_have_candidates_stay_and_nothing_near_them_is_taken() -> None:
    seeds = make_seeds((3, 2), (2, 1))
    started = sorted(seeds, key=lambda seed: seed.seed_id)[-1:]
    supply = Supply(seeds, POLICY, hold_tested(POLICY, {}))
    supply.take({seed.seed_id for seed in started})
    found = [seed for cell in supply.cells for seed in supply.seeds(*cell)]
    assert started[0] in found
    assert len(found) == 5
    assert supply.most(*supply.cells[0]) == 3 * POLICY.per_prompt


def test_a_quota_that_seeds_can_just_meet_passes() -> None:
    check(make_seeds((5, 1), (6, 3)), per_category=10)
    check(make_seeds((5, 1), (6, 3)), per_category=5, per_prompt=1)


@pytest.mark.parametrize(
    ("groups", "policy", "possible"),
    [
        (((50, 1), (4, 1)), {}, 8),
        (((50, 1), (4, 9)), {}, 8),
        (((50, 1), (40, 1)), {"per_prompt": 1}, 40),
        (((50, 1),), {"balance": POLICY.balance.model_copy(update={"category_cap": 7})}, 7),
    ],
)
def test_a_quota_beyond_a_cells_seeds_is_refused(
    groups: tuple[tuple[int, int], ...], policy: dict[str, Any], possible: int
) -> None:
    with pytest.raises(BadInput, match=f"must be at most {possible}, .*benign, c{len(groups) - 1}"):
        check(make_seeds(*groups), per_category=50, **policy)


def test_prompts_that_are_evaluated_give_nothing() -> None:
    seeds = make_seeds((5, 1))
    check(seeds, per_category=10)
    with pytest.raises(BadInput, match="at most 8"):
        check(seeds, per_category=10, tested={"e": seeds[0].prompt})


def test_categories_of_one_label_share_what_is_near() -> None:
    shared = make_seeds((5, 1))
    twins = [make_seed(f"{seed.prompt}!", category="c1") for seed in shared]
    with pytest.raises(BadInput, match=r"at most 5, .*near each other: 10 rows in all"):
        check([*shared, *twins], per_category=10)
    across = [make_seed(f"{seed.prompt}!", label="harmful", category="c1") for seed in shared]
    check([*shared, *across], per_category=10)


def test_a_recipe_that_keeps_few_rows_or_none_is_named() -> None:
    few = {"srg": replace(SRG, max_rows=7)}
    check(make_seeds((4, 1)), per_category=7, recipes=few)
    with pytest.raises(BadInput, match=r"at most 3, .*srg: the recipe keeps 7 rows in 2 cells"):
        check(make_seeds((4, 1), (4, 1)), per_category=4, recipes=few)
    alone = {"pairs": replace(SRG, steps=(SRG.steps[0], Train(name="prefer", kind="dpo")))}
    with pytest.raises(BadInput, match=r"at most 0, .*pairs: it has no supervised rows"):
        check(make_seeds((5, 1)), per_category=1, recipes=alone)


def test_a_budget_below_what_is_asked_is_refused() -> None:
    check(make_seeds((5, 1), (6, 1)), per_category=5, budget=20)
    with pytest.raises(BadInput, match="at least 20, ") as caught:
        check(make_seeds((5, 1), (6, 1)), per_category=5, budget=19)
    assert caught.value.field == "accepted.budget"
