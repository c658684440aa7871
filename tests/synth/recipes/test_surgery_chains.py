"""Chains are taken apart without loss, cut at a step, and turned where they were cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.recipes.surgery import MIN_STEP_CHARS, graft, keep_steps, positions, split_steps

SENTENCE = "The user asks how to bake a loaf of bread at home"
PIECES = st.sampled_from(
    [
        SENTENCE,
        "So",
        ". ",
        "! ",
        "?\n",
        "\n\n",
        " \n \n",
        "\n1. ",
        "\nStep 2: ",
        " ",
        "e.g. ",
        '." ',
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=200)


@given(TEXTS)
def test_joining_the_steps_gives_the_text_back(text: str) -> None:
    steps = split_steps(text)
    assert "".join(steps) == (text if text.strip() else "")
    assert all(step.strip() for step in steps)


@given(TEXTS)
def test_a_prefix_is_the_beginning_of_its_chain(text: str) -> None:
    count = len(split_steps(text))
    kept = [keep_steps(text, index) for index in range(count + 1)]
    assert all(text.startswith(prefix) for prefix in kept)
    assert sorted(set(kept), key=len) == kept  # each step adds something
    assert kept[-1] == text.rstrip() or not count


@given(TEXTS, st.data())
def test_a_graft_keeps_the_steps_before_it_and_nothing_after(
    text: str, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(split_steps(text))))
    prefix = keep_steps(text, index)
    chain = graft(prefix, "Wait, this is wrong. ", "\nSo I will not go on.")
    expected = f"{prefix.strip()}\n\nWait, this is wrong.\n\nSo I will not go on."
    assert chain == expected.strip()


def test_numbered_lines_are_steps() -> None:
    text = "First I look at it.\n1. What is asked.\n2) Who is hurt. Nobody is.\nStep 3: Help."
    assert split_steps(text) == [
        "First I look at it.\n",
        "1. What is asked.\n",
        "2) Who is hurt. Nobody is.\n",
        "Step 3: Help.",
    ]


def test_a_number_in_the_text_begins_no_step() -> None:
    text = f"{SENTENCE} with\n2.5 cups of flour, and it should be ready in\n30 minutes or so."
    assert split_steps(text) == [text]


def test_paragraphs_are_steps_and_their_sentences_are_not() -> None:
    text = f"{SENTENCE}. {SENTENCE}.\n\nNobody is hurt.\n \nSo I will help."
    assert split_steps(text) == [
        f"{SENTENCE}. {SENTENCE}.\n\n",
        "Nobody is hurt.\n \n",
        "So I will help.",
    ]


def test_sentences_are_steps_where_the_text_has_no_other_mark() -> None:
    text = f'{SENTENCE}. "{SENTENCE}?" {SENTENCE}!'
    assert split_steps(text) == [f"{SENTENCE}. ", f'"{SENTENCE}?" ', f"{SENTENCE}!"]


@pytest.mark.parametrize("short", ["Yes.", "So I will help."])
def test_a_short_sentence_is_no_step_of_its_own(short: str) -> None:
    assert len(short) < MIN_STEP_CHARS
    assert split_steps(f"{short} {SENTENCE}. {short}") == [f"{short} {SENTENCE}. {short}"]


@pytest.mark.parametrize("stop", ["Dr. Miller", "e.g. Anna", "J. Miller", "vs. London"])
def test_an_abbreviation_ends_no_step(stop: str) -> None:
    text = f"{SENTENCE}, as they were shown by {stop} in a course of which they were fond."
    assert split_steps(text) == [text]


def test_a_blank_chain_has_no_steps() -> None:
    assert split_steps(" \n\n ") == []
    assert positions(0, (0.5, 1.0)) == []


def test_positions_are_shares_of_the_steps() -> None:
    assert positions(4, (0.25, 0.5, 1.0)) == [1, 2, 4]
    assert positions(2, (0.25, 0.5, 1.0)) == [1, 2]
    assert positions(1, (0.25, 0.5, 1.0)) == [1]


@given(st.integers(1, 50), st.lists(st.floats(0.01, 1.0), min_size=1))
def test_positions_lie_within_the_chain(num_steps: int, shares: list[float]) -> None:
    found = positions(num_steps, shares)
    assert found == sorted(set(found))
    assert found[0] >= 1
    assert found[-1] <= num_steps


def test_a_chain_can_not_be_cut_after_its_end() -> None:
    with pytest.raises(ValueError, match="3 steps of a chain that has 2"):
        keep_steps("One thing.\n\nAnother thing.", 3)
