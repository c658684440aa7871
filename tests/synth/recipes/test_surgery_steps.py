"""Marked steps: written, read, broken off, and kept apart from what a text itself says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.models.families import OUTPUT_OPEN, STEP_OPEN, STEP_TOKENS
from synth.recipes.surgery import (
    OUTPUT_CLOSE,
    STEP_CLOSE,
    Stepped,
    final_answer,
    is_terminal,
    parse_steps,
    reasoning_text,
    without_marks,
    write_steps,
)

TEXTS = (
    st.text(min_size=1).map(str.strip).filter(lambda t: t and not any(m in t for m in STEP_TOKENS))
)
MARKED = st.lists(st.one_of(st.sampled_from(STEP_TOKENS), st.sampled_from(["<|", "Output|>", "a"])))


@given(st.lists(TEXTS), TEXTS)
def test_what_is_written_is_read_again(steps: list[str], answer: str) -> None:
    assert parse_steps(write_steps(steps, answer)) == Stepped(tuple(steps), answer, True)


@given(st.lists(TEXTS, min_size=1), TEXTS, st.data())
def test_a_text_that_breaks_off_has_the_steps_so_far(
    steps: list[str], answer: str, data: st.DataObject
) -> None:
    text = write_steps(steps, answer)
    end = data.draw(st.integers(len(STEP_OPEN), text.index(OUTPUT_CLOSE)))
    stepped = parse_steps(text[:end])
    if stepped is None:  # it breaks off within a mark, of which the beginning is no text
        assert any(text[:end].endswith(m[:n]) for m in STEP_TOKENS for n in range(1, len(m)))
        return
    assert not stepped.complete
    assert all(
        whole.startswith(part[:-1]) or STEP_CLOSE.startswith(part[-1]) or "<|" in part
        for part, whole in zip(stepped.steps, steps, strict=False)
    )


@given(MARKED.map("".join))
def test_no_mark_is_left_after_cleaning(text: str) -> None:
    clean = without_marks(text)
    assert not any(mark in clean for mark in STEP_TOKENS)
    assert without_marks(clean) == clean


def test_cleaning_also_takes_marks_that_appear_by_it() -> None:
    assert without_marks("a<|Out<|Output|>put|>b") == "ab"


@pytest.mark.parametrize("mark", STEP_TOKENS)
def test_a_step_that_holds_a_mark_is_refused(mark: str) -> None:
    with pytest.raises(ValueError, match="holds the mark"):
        write_steps([f"first {mark} then"], "answer")
    with pytest.raises(ValueError, match="holds the mark"):
        write_steps(["first"], f"answer {mark}")


def test_a_blank_step_is_refused() -> None:
    with pytest.raises(ValueError, match="blank"):
        write_steps([" \n"], "answer")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        f"words {STEP_OPEN}a{STEP_CLOSE}",
        f"{STEP_OPEN}a{STEP_CLOSE} between {OUTPUT_OPEN}b{OUTPUT_CLOSE}",
        f"{STEP_OPEN}a{STEP_CLOSE}{OUTPUT_OPEN}b{OUTPUT_CLOSE} after",
        f"{STEP_OPEN}a{OUTPUT_OPEN}b{OUTPUT_CLOSE}",
        f"{STEP_OPEN}a{STEP_OPEN}b{STEP_CLOSE}",
        f"{OUTPUT_OPEN}a{OUTPUT_CLOSE}{STEP_OPEN}b{STEP_CLOSE}",
        f"{OUTPUT_OPEN}a{OUTPUT_CLOSE}{OUTPUT_OPEN}b{OUTPUT_CLOSE}",
        f"{STEP_OPEN} {STEP_CLOSE}{OUTPUT_OPEN}b{OUTPUT_CLOSE}",
        f"{STEP_OPEN}a{STEP_CLOSE}{OUTPUT_OPEN} {OUTPUT_CLOSE}",
        STEP_CLOSE,
    ],
)
def test_another_form_is_not_read(text: str) -> None:
    assert parse_steps(text) is None


def test_a_broken_text_is_told_from_a_whole_one() -> None:
    begun = f"{STEP_OPEN}\none\n{STEP_CLOSE}\n\n"
    assert parse_steps(begun) == Stepped(("one",), "", False)
    assert parse_steps(f"{begun}{STEP_OPEN}two, in p") == Stepped(("one", "two, in p"), "", False)
    assert parse_steps(f"{begun}{OUTPUT_OPEN}yes, b") == Stepped(("one",), "yes, b", False)
    assert parse_steps(f"{OUTPUT_OPEN}yes{OUTPUT_CLOSE}") == Stepped((), "yes", True)


def test_the_answer_closes_the_turn() -> None:
    assert is_terminal(f"{OUTPUT_OPEN}yes{OUTPUT_CLOSE}")
    assert not is_terminal(f"{OUTPUT_OPEN}yes")
    assert not is_terminal(f"{STEP_OPEN}one{STEP_CLOSE}")


def test_the_final_answer_is_read_from_a_text_in_any_state() -> None:
    assert final_answer(write_steps(["one", "two"], "yes")) == "yes"
    assert final_answer(f"{STEP_OPEN}one{STEP_CLOSE}{OUTPUT_OPEN}yes, b") == "yes, b"
    assert final_answer(f"{STEP_OPEN}one{STEP_CLOSE}{STEP_OPEN}two, in p") == "two, in p"
    assert final_answer("no marks at all") == "no marks at all"


def test_the_reasoning_has_no_marks() -> None:
    assert reasoning_text([" Title: A\none ", "two"]) == "Title: A\none\n\ntwo"
