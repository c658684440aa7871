"""BadInput is one printable line and survives pickling, whatever it carries."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guidelines import BadInput

VALUES = st.one_of(
    st.text(), st.binary(), st.integers(), st.none(), st.lists(st.text()), st.booleans()
)


def test_reads_file_field_value_rule() -> None:
    error = BadInput(file="a.md", field="version", value="two", rule="must be a number")
    assert str(error) == "a.md: version: value 'two': must be a number"
    assert isinstance(error, ValueError)


@settings(deadline=None)
@given(file=st.text(), field=st.text(), value=VALUES, rule=st.text())
def test_is_one_short_printable_line(file: str, field: str, value: object, rule: str) -> None:
    assert str(BadInput(file=file, field=field, value=value, rule=rule)).isprintable()


@settings(deadline=None)
@given(file=st.text(), field=st.text(), value=VALUES, rule=st.text())
def test_pickles_and_copies_whole(file: str, field: str, value: object, rule: str) -> None:
    error = BadInput(file=file, field=field, value=value, rule=rule)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is BadInput
        assert (twin.file, twin.field, twin.value, twin.rule) == (file, field, value, rule)
        assert str(twin) == str(error)


@pytest.mark.parametrize(
    "hostile",
    ["\x1b[2J\x1b]0;owned\x07", "a\r\nb\u2028c\u0085d", "\u202ereversed", "\udcff", "x" * 10**6],
    ids=["terminal", "line breaks", "bidi", "surrogate", "long"],
)
def test_hostile_parts_stay_short_and_inert(hostile: str) -> None:
    line = str(BadInput(file=hostile, field=hostile, value=hostile, rule=hostile))
    assert line.isprintable()
    assert len(line) < 1_000


@pytest.mark.parametrize(
    "value",
    [1 << 100_000, "x" * 10**6, ["y" * 10**6] * 1_000, b"\xff" * 10**6],
    ids=["integer", "text", "list", "bytes"],
)
def test_large_values_are_cut(value: object) -> None:
    assert len(str(BadInput(file="f", field="f", value=value, rule="r"))) < 120
