"""Text of unknown origin reaches a screen without anything that acts or hides."""

from hypothesis import given
from hypothesis import strategies as st

from guidelines.plain import one_line, printable


@given(st.text())
def test_nothing_a_terminal_acts_on_is_left(text: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in printable(text))
    assert one_line(text).isprintable()


@given(st.text())
def test_printable_text_stays_as_it_is(text: str) -> None:
    kept = "".join(c for c in text if c.isprintable())
    assert printable(kept) == one_line(kept) == kept


def test_control_characters_are_shown_as_escapes() -> None:
    hostile = "a\x1b[31mb\u202ec\td\n"
    assert printable(hostile) == "a\\x1b[31mb\\u202ec\td\n"
    assert one_line(hostile) == "a\\x1b[31mb\\u202ec\\td\\n"
