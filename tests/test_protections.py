"""The table of protections is about the code as it stands."""

import pytest

from tests.protections import ROOT, Protection, read_table


@pytest.mark.parametrize("protection", read_table(), ids=lambda protection: protection.name)
def test_what_protects_is_there(protection: Protection) -> None:
    whole = (ROOT / protection.file).read_text()
    assert protection.taken_out(whole) != whole


def test_the_tests_that_must_notice_are_there() -> None:
    words = {word for protection in read_table() for word in protection.tests.split()}
    files = {word.partition("::")[0] for word in words if word.startswith("tests/")}
    assert all((ROOT / file).is_file() for file in files)


def test_a_text_that_is_there_twice_is_no_cut() -> None:
    twice = Protection("one", "file.py", (("a", "b"),), "")
    with pytest.raises(LookupError, match="2 times"):
        twice.taken_out("a a")
