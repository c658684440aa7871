"""The arithmetic of finding a pool's room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.calls.gate import FIRST_PAUSE_S, LONGEST_PAUSE_S, SHRINK, Capacity

EVENTS = st.lists(
    st.tuples(
        st.booleans(),  # answered, or refused
        st.floats(0, 5),  # how much later than the one before
        st.floats(0, 5),  # how long the call took
        st.one_of(st.none(), st.floats(0, 100)),  # the pause the server names
    ),
    max_size=60,
)


@given(most=st.integers(1, 500), events=EVENTS)
def test_the_limit_keeps_within_one_and_the_bound(most: int, events: list) -> None:
    capacity, now = Capacity(most), 0.0
    for good, later, took, named in events:
        now += later
        before = capacity.paused_until
        if good:
            capacity.answered(now - took, full=True)
            assert capacity.paused_until == before
        else:
            capacity.refused(now - took, now, most, named)
            assert capacity.paused_until >= before
            if named is not None:
                assert capacity.paused_until >= now + named
        assert 1 <= capacity.limit <= most


def test_a_storm_of_refusals_shrinks_once() -> None:
    capacity = Capacity(100)
    for _ in range(100):
        capacity.refused(began_at=1.0, now=2.0, open_calls=100, retry_after_s=None)
    assert capacity.limit == pytest.approx(100 * SHRINK)
    capacity.refused(began_at=3.0, now=4.0, open_calls=70, retry_after_s=None)
    assert capacity.limit == pytest.approx(100 * SHRINK**2)


def test_answers_to_calls_from_before_the_decrease_grow_nothing() -> None:
    capacity = Capacity(100)
    capacity.refused(began_at=1.0, now=2.0, open_calls=100, retry_after_s=None)
    capacity.answered(began_at=1.5, full=True)
    assert capacity.limit == pytest.approx(70)


def test_growth_is_by_a_constant_a_round_trip() -> None:
    capacity = Capacity(320)
    capacity.refused(0.0, 0.0, 100, None)
    grown = []
    for round_trip in range(1, 6):
        before = capacity.limit
        for _ in range(int(before)):
            capacity.answered(float(round_trip), full=True)
        grown.append(capacity.limit - before)
    assert grown == pytest.approx([10] * 5, rel=0.1)


def test_unused_room_proves_nothing() -> None:
    capacity = Capacity(10)
    capacity.refused(0.0, 0.0, 4, None)
    before = capacity.limit
    capacity.answered(1.0, full=False)
    assert capacity.limit == before


def test_unnamed_pauses_double_until_an_answer_comes() -> None:
    capacity, now, pauses = Capacity(8), 0.0, []
    for _ in range(12):
        capacity.refused(now, now, 8, None)
        pauses.append(capacity.paused_until - now)
        now = capacity.paused_until + 1
    for index, pause in enumerate(pauses):
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**index)
        assert longest / 2 <= pause <= longest
    capacity.answered(now, full=True)
    capacity.refused(now, now, 8, None)
    assert capacity.paused_until - now <= FIRST_PAUSE_S


def test_a_pause_of_no_length_is_not_believed() -> None:
    capacity = Capacity(8)
    capacity.refused(5.0, 5.0, 8, 0.0)
    assert capacity.paused_until >= 5 + FIRST_PAUSE_S / 2
