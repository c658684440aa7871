"""Sections: the first sentence, headed texts, and joining."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.recipes.surgery import first_sentence, join_sections, split_headed

NAMES = ("understanding", "assessment", "condition")
TEXTS = st.text(alphabet="ab .!?\n\"'。é#", max_size=40)
BODIES = st.text(alphabet="ab .!?", min_size=1).map(str.strip).filter(bool)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One. Two.", "One."),
        ("Is it? It is.", "Is it?"),
        ("No end at all", "No end at all"),
        ("A title\n\nThen a text.", "A title"),
        ("It costs 3.50 a piece. Really.", "It costs 3.50 a piece."),
        ("Tools, e.g. A saw. More.", "Tools, e.g. A saw."),
        ("Mr. J. Smith asks. He waits.", "Mr. J. Smith asks."),
        ("She says, i.e. writes, a lot. Yes.", "She says, i.e. writes, a lot."),
        ('He said "no." Then he left.', 'He said "no."'),
        ("Hm... so be it. Fine.", "Hm... so be it."),
        ("用户想知道。然后回答。", "用户想知道。"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text)[0] == sentence


@given(TEXTS)
def test_only_white_space_is_lost_between_the_first_sentence_and_the_rest(text: str) -> None:
    sentence, rest = first_sentence(text)
    assert re.sub(r"\s", "", sentence + rest) == re.sub(r"\s", "", text)
    assert bool(sentence) == bool(text.strip())
    assert sentence == sentence.strip()
    assert "\n" not in sentence


@given(st.permutations(NAMES), st.integers(0, 3), st.tuples(BODIES, BODIES, BODIES))
def test_sections_are_joined_in_the_order_asked_for_and_no_others(
    order: list[str], num: int, bodies: tuple[str, str, str]
) -> None:
    sections = dict(zip(NAMES, bodies, strict=True))
    joined = join_sections(sections, order[:num])
    for name in order[:num]:
        body = sections[name]
        assert joined.startswith(body)
        joined = joined.removeprefix(body).removeprefix(" ")
    assert joined == ""


def test_a_blank_section_leaves_no_gap() -> None:
    assert join_sections({"a": "One.", "b": " ", "c": "Two."}, ("a", "b", "c")) == "One. Two."


def test_a_section_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        join_sections({"a": "One."}, ("a", "b"))


@given(st.lists(st.tuples(st.from_regex("[A-Z][a-z]{1,6}", fullmatch=True), BODIES), min_size=1))
def test_headed_texts_are_read_as_they_were_written(parts: list[tuple[str, str]]) -> None:
    text = "\n\n".join(f"## {name}\n{body}" for name, body in parts)
    names = [name for name, _ in parts]
    assert split_headed(text) == (dict(parts) if len(set(names)) == len(names) else None)


@pytest.mark.parametrize("text", ["", "no heading", "before\n## A\ntext", "## A\n\n## B\ntext"])
def test_texts_that_are_not_headed_throughout_are_not_read(text: str) -> None:
    assert split_headed(text) is None
