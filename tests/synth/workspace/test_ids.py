"""The compact set of identifiers."""

from hypothesis import given
from hypothesis import strategies as st

from synth.records import digest
from synth.workspace.ids import IdSet

# Few values, so that identifiers meet; zeros at the ends are what a fixed width might lose.
IDENTIFIERS = st.lists(
    st.one_of(
        st.integers(0, 9).map(digest),
        st.sampled_from(["0" * 24, "0" * 22 + "01", "01" + "0" * 22, "f" * 24]),
    )
)


@given(st.lists(IDENTIFIERS), IDENTIFIERS)
def test_it_is_the_set_of_all_parts(parts: list[list[str]], asked: list[str]) -> None:
    known = IdSet(parts)
    expected = {identifier for part in parts for identifier in part}
    assert len(known) == len(expected)
    assert known.contains(asked).tolist() == [identifier in expected for identifier in asked]
