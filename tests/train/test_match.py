from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from train.config import Match
from train.data import Key, LeftOut, match_rows

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
matches: st.SearchStrategy[Match] = st.sampled_from(["seeds", "rows", None])
unfit = st.dictionaries(st.integers(0, 20), st.sampled_from([LeftOut.TOO_LONG, LeftOut.INVALID]))


def ids_of(found: list[Key], match: Match) -> dict[str, list[str]]:
    return {arm: chosen.row_ids for arm, chosen in match_rows(found, ARMS, match).items()}


@given(keys)
def test_matched_arms_have_equal_seeds_and_one_row_of_each(found: list[Key]) -> None:
    by_id = {key.row_id: key for key in found}
    chosen = ids_of(found, "seeds")
    seeds = {arm: [by_id[row_id].seed_id for row_id in ids] for arm, ids in chosen.items()}
    accepted = {arm: {key.seed_id for key in found if key.arm == arm} for arm in ARMS}
    for arm in ARMS:
        assert all(by_id[row_id].arm == arm for row_id in chosen[arm])
        assert len(seeds[arm]) == len(set(seeds[arm]))
        assert set(seeds[arm]) == accepted["refusal"] & accepted["srg"]


@given(keys, matches, unfit)
def test_every_row_of_an_arm_is_trained_on_or_left_out_for_a_reason(
    found: list[Key], match: Match, spoilt: dict[int, LeftOut]
) -> None:
    why = {found[place].row_id: reason for place, reason in spoilt.items() if place < len(found)}
    for arm, chosen in match_rows(found, ARMS, match, why).items():
        rows = [key.row_id for key in found if key.arm == arm]
        assert len(chosen.row_ids) + sum(chosen.left_out.values()) == len(rows)
        assert set(chosen.row_ids) <= set(rows) - why.keys()
        assert set(chosen.left_out) <= set(LeftOut)


@given(keys, unfit)
def test_arms_still_match_when_rows_turn_out_unfit(
    found: list[Key], spoilt: dict[int, LeftOut]
) -> None:
    why = {found[place].row_id: reason for place, reason in spoilt.items() if place < len(found)}
    seed_of = {key.row_id: key.seed_id for key in found}
    seeds, numbers = (
        {
            arm: [seed_of[row_id] for row_id in chosen.row_ids]
            for arm, chosen in match_rows(found, ARMS, match, why).items()
        }
        for match in ("seeds", "rows")
    )
    assert sorted(seeds["refusal"]) == sorted(seeds["srg"])
    assert len(numbers["refusal"]) == len(numbers["srg"])


def test_each_reason_is_the_first_that_holds() -> None:
    found = [
        Key("r0", "s", "refusal", "benign"),
        Key("r1", "s", "refusal", "benign"),
        Key("r2", "t", "refusal", "benign"),
        Key("r3", "u", "refusal", "benign"),
        Key("r4", "v", "refusal", "benign"),
        Key("g0", "s", "srg", "benign"),
        Key("g2", "t", "srg", "benign"),
        Key("g4", "v", "srg", "benign"),
    ]
    spoilt = {"g2": LeftOut.TOO_LONG, "r4": LeftOut.INVALID, "r1": LeftOut.TOO_LONG}
    chosen = match_rows(found, ARMS, "seeds", spoilt)
    assert chosen["refusal"].row_ids == ["r0"]
    assert chosen["refusal"].left_out == {
        "another_arm": 1,
        "invalid": 1,
        "not_in_every_arm": 1,
        "sibling": 1,
    }
    assert chosen["srg"] == (["g0"], {"another_arm": 1, "too_long": 1})


@given(keys, st.randoms(use_true_random=False), matches)
def test_the_choice_does_not_depend_on_the_order_of_rows(
    found: list[Key], random: object, match: Match
) -> None:
    shuffled = sorted(found, key=lambda key: random.random())  # type: ignore[attr-defined]
    assert match_rows(shuffled, ARMS, match) == match_rows(found, ARMS, match)


@given(keys)
def test_the_row_of_a_seed_is_the_one_of_the_smallest_id(found: list[Key]) -> None:
    by_id = {key.row_id: key for key in found}
    for arm, ids in ids_of(found, "seeds").items():
        for row_id in ids:
            seed = by_id[row_id].seed_id
            assert row_id == min(k.row_id for k in found if (k.arm, k.seed_id) == (arm, seed))


@given(keys)
def test_without_matching_an_arm_keeps_all_its_rows(found: list[Key]) -> None:
    chosen = ids_of(found, None)
    assert chosen == {arm: sorted(k.row_id for k in found if k.arm == arm) for arm in ARMS}


@given(keys)
def test_under_rows_all_arms_have_as_many_as_the_one_with_the_fewest(found: list[Key]) -> None:
    arms = {key.row_id: key.arm for key in found}
    chosen = ids_of(found, "rows")
    fewest = min(sum(key.arm == arm for key in found) for arm in ARMS)
    for arm in ARMS:
        assert len(set(chosen[arm])) == len(chosen[arm]) == fewest
        assert all(arms[row_id] == arm for row_id in chosen[arm])


@given(keys)
def test_under_rows_labels_are_as_even_as_an_arm_allows(found: list[Key]) -> None:
    labels = {key.row_id: key.label for key in found}
    for arm, ids in ids_of(found, "rows").items():
        there = Counter(key.label for key in found if key.arm == arm)
        taken = Counter(labels[row_id] for row_id in ids)
        for label, other in (("benign", "harmful"), ("harmful", "benign")):
            # More than one row ahead only where the other label has no row left.
            assert taken[label] <= taken[other] + 1 or taken[other] == there[other]


@given(keys)
def test_choosing_again_from_what_was_chosen_changes_nothing(found: list[Key]) -> None:
    chosen = ids_of(found, "rows")
    left = [key for key in found if key.row_id in chosen.get(key.arm, [])]
    assert ids_of(left, "rows") == chosen
