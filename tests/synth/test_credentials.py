"""What of a text may be of a key, and what is not."""

from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from synth.credentials import MARK, read_credential, redacted, repeats
from tests.leaks import SPELLINGS, VISIBLE, WHOLE, chains, leaked, spelled

KEY = "sk-Qz7/7vRzkZx+Zq0wVy==x<&%2Fq8"
KEYS = st.text(VISIBLE, min_size=8, max_size=60)


@given(KEYS, chains(), st.text(max_size=9), st.text(max_size=9))
@example("&amp;%2541\\/<", ["html", "percent codes"], "key='", "'.")
def test_no_piece_of_a_key_is_left(key: str, ways: list[str], before: str, after: str) -> None:
    assume(leaked(f"{before} {after} {MARK}", key) is None)
    assert leaked(redacted(f"{before}{spelled(key, ways)}{after}", [key]), key) is None


@given(st.text("abcdefgh ,.'", max_size=200), KEYS)
def test_words_of_something_else_are_left(text: str, key: str) -> None:
    assume(leaked(text, key) is None)
    assume("..." not in text)
    assert redacted(text, [key]) == " ".join(text.split())


@pytest.mark.parametrize(
    "word",
    ["sk-****wxyz", "sk-a...yz", "(sk-…yz)", "key=xxxxxxxxyz", "••••yz", quote("sk-a…yz")],
)
def test_what_is_masked_goes_however_little_it_shows(word: str) -> None:
    assert redacted(f"no key {word} here", [KEY]) == f"no key {MARK} here"


@pytest.mark.parametrize(
    "text", ["loading model...", "see https://host/a?b=1&c=2", "100 % of `big-1`"]
)
def test_what_looks_a_little_like_it_stays(text: str) -> None:
    assert redacted(text, [KEY]) == text


def test_every_secret_is_looked_for() -> None:
    assert redacted("one first-secret\ntwo second-secret", ["first-sec", "ond-secret"]) == (
        f"one {MARK} two {MARK}"
    )
    assert redacted("sk-****wxyz\nand all", []) == "sk-****wxyz and all"


@pytest.mark.parametrize("depth", [5, 50])
def test_what_is_packed_too_deep_is_cut(depth: int) -> None:
    said = "/".join(KEY)
    for _ in range(depth):
        said = said.replace("%", "%25").replace("/", "%2F")
    assert redacted(f"key {said}", [KEY]) == f"key {MARK}"


@given(st.text(VISIBLE, min_size=16), st.sampled_from(sorted(WHOLE)))
def test_a_whole_key_is_found_in_a_text(key: str, way: str) -> None:
    assert repeats(f"The key\n({SPELLINGS[way](key)}) is wrong.", key)


def test_a_text_without_the_whole_key_repeats_none() -> None:
    assert not repeats(f"The key {KEY[:-1]} is wrong.", KEY)
    assert not repeats("The file is EMPTY.", "EMPTY")


def test_a_variable_that_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "")
    assert read_credential("SOME_KEY") is None
    monkeypatch.delenv("SOME_KEY")
    assert read_credential("SOME_KEY") is None
    monkeypatch.setenv("SOME_KEY", KEY)
    assert read_credential("SOME_KEY") == KEY
