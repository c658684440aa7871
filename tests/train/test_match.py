from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from train.data import Key, choose

ARMS = ("refusal", "srg")

keys = st.lists(
    st.builds(
        Key,
        row_id=st.text("0123456789abcdef", min_size=4, max_size=8),
        seed_id=st.sampled_from("stuvw"),
        arm=st.sampled_from([*ARMS, "other"]),
        label=st.sampled_from(["benign", "harmful"]),
    ),
    unique_by=lambda key: key.row_id,
)


@given(keys)
def test_matched_arms_have_equal_seeds_and_one_row_of_each(found: list[Key]) -> None:
    by_id = {key.row_id: key for key in found}
    chosen = choose(found, ARMS, "seeds")
    seeds = {arm: [by_id[row_id].seed_id for row_id in ids] for arm, ids in chosen.items()}
    accepted = {arm: {key.seed_id for key in found if key.arm == arm} for arm in ARMS}
    for arm in ARMS:
        assert all(by_id[row_id].arm == arm for row_id in chosen[arm])
        assert len(seeds[arm]) == len(set(seeds[arm]))
        assert set(seeds[arm]) == accepted["refusal"] & accepted["srg"]


@given(keys, st.randoms(use_true_random=False), st.sampled_from(["seeds", "rows", None]))
def test_the_choice_does_not_depend_on_the_order_of_rows(
    found: list[Key], random: object, match: object
) -> None:
    shuffled = sorted(found, key=lambda key: random.random())  # type: ignore[attr-defined]
    assert choose(shuffled, ARMS, match) == choose(found, ARMS, match)  # type: ignore[arg-type]


@given(keys)
def test_the_row_of_a_seed_is_the_one_of_the_smallest_id(found: list[Key]) -> None:
    by_id = {key.row_id: key for key in found}
    for arm, ids in choose(found, ARMS, "seeds").items():
        for row_id in ids:
            seed = by_id[row_id].seed_id
            assert row_id == min(k.row_id for k in found if (k.arm, k.seed_id) == (arm, seed))


@given(keys)
def test_without_matching_an_arm_keeps_all_its_rows(found: list[Key]) -> None:
    chosen = choose(found, ARMS, None)
    assert chosen == {arm: sorted(k.row_id for k in found if k.arm == arm) for arm in ARMS}


@given(keys)
def test_under_rows_all_arms_have_as_many_as_the_one_with_the_fewest(found: list[Key]) -> None:
    arms = {key.row_id: key.arm for key in found}
    chosen = choose(found, ARMS, "rows")
    fewest = min(sum(key.arm == arm for key in found) for arm in ARMS)
    for arm in ARMS:
        assert len(set(chosen[arm])) == len(chosen[arm]) == fewest
        assert all(arms[row_id] == arm for row_id in chosen[arm])


@given(keys)
def test_under_rows_labels_are_as_even_as_an_arm_allows(found: list[Key]) -> None:
    labels = {key.row_id: key.label for key in found}
    for arm, ids in choose(found, ARMS, "rows").items():
        there = Counter(key.label for key in found if key.arm == arm)
        taken = Counter(labels[row_id] for row_id in ids)
        for label, other in (("benign", "harmful"), ("harmful", "benign")):
            # More than one row ahead only where the other label has no row left.
            assert taken[label] <= taken[other] + 1 or taken[other] == there[other]


@given(keys)
def test_choosing_again_from_what_was_chosen_changes_nothing(found: list[Key]) -> None:
    chosen = choose(found, ARMS, "rows")
    left = [key for key in found if key.row_id in chosen.get(key.arm, [])]
    assert choose(left, ARMS, "rows") == chosen
