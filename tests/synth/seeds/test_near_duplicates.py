"""Near duplicates: what counts as one, and that the answer is the data's alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.seeds.near_duplicates import contaminated, near_duplicates, normalize

WORDS = st.sampled_from(["bread", "oven", "flour", "water", "salt", "yeast", "dough", "crust"])
PROMPTS = st.lists(WORDS, min_size=3, max_size=9).map(" ".join)
TEXTS = st.dictionaries(st.integers(0, 99).map("id-{:02}".format), PROMPTS, max_size=12)
THRESHOLDS = st.sampled_from([0.5, 0.8, 1.0])

LONG = "How long should I let a sourdough loaf rest before I cut it into slices for breakfast?"


def similarity(left: str, right: str) -> float:
    """Jaccard similarity of 5-gram sets, written a second time from its definition."""
    first, second = (
        {form[i : i + 5] for i in range(max(1, len(form) - 4))}
        for form in (normalize(left), normalize(right))
    )
    return len(first & second) / len(first | second)


@given(texts=TEXTS, threshold=THRESHOLDS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter(
    texts: dict[str, str], threshold: float, order: random.Random
) -> None:
    keys = list(texts)
    order.shuffle(keys)
    assert near_duplicates({key: texts[key] for key in keys}, threshold) == near_duplicates(
        texts, threshold
    )


@given(texts=TEXTS, threshold=THRESHOLDS)
def test_a_dropped_text_is_near_a_kept_one_of_a_smaller_id(
    texts: dict[str, str], threshold: float
) -> None:
    for dropped, kept in near_duplicates(texts, threshold).items():
        assert kept < dropped
        assert kept not in near_duplicates(texts, threshold)
        assert similarity(texts[kept], texts[dropped]) >= threshold


@given(texts=TEXTS)
def test_no_two_kept_texts_have_the_same_normal_form(texts: dict[str, str]) -> None:
    kept = texts.keys() - near_duplicates(texts).keys()
    assert len({normalize(texts[key]) for key in kept}) == len(kept)


@given(train=TEXTS, evaluation=TEXTS, threshold=THRESHOLDS)
def test_contamination_is_near_an_evaluation_text(
    train: dict[str, str], evaluation: dict[str, str], threshold: float
) -> None:
    found = contaminated(train, evaluation, threshold)
    for key, other in found.items():
        assert similarity(train[key], evaluation[other]) >= threshold
    forms = {normalize(text) for text in evaluation.values()}
    assert all(key in found for key, text in train.items() if normalize(text) in forms)


@pytest.mark.parametrize(
    "variant",
    [
        LONG.upper(),
        LONG.replace(" ", "  \n"),
        LONG.rstrip("?") + "!!",
        LONG.replace("sourdough", "sour\u200bdough"),
        LONG.replace("H", "\uff28", 1),
        LONG + " Thanks!",
    ],
    ids=["case", "space", "punctuation", "invisible", "full width", "ending"],
)
def test_a_small_change_is_a_near_duplicate(variant: str) -> None:
    assert near_duplicates({"a": LONG, "b": variant}) == {"b": "a"}
    assert contaminated({"a": variant}, {"a": LONG}) == {"a": "a"}


def test_another_question_on_the_subject_is_none() -> None:
    other = "How long should I let a sourdough starter ferment before I bake my first loaf?"
    assert near_duplicates({"a": LONG, "b": other}) == {}


@pytest.mark.parametrize("texts", [("?", "!"), ("", " "), ("\U0001f600", "\U0001f62d")])
def test_texts_without_words_differ(texts: tuple[str, str]) -> None:
    assert near_duplicates(dict(zip("ab", texts, strict=True))) == {}


def test_marks_of_a_script_are_kept() -> None:
    assert (
        normalize("\u0939\u093f\u0928\u094d\u0926\u0940") == "\u0939\u093f\u0928\u094d\u0926\u0940"
    )


def test_a_chain_of_small_steps_is_not_one_cluster() -> None:
    words = [f"word{i:03}" for i in range(60)]
    chain = {f"{i}": " ".join(words[i * 4 : i * 4 + 40]) for i in range(3)}
    assert near_duplicates(chain, threshold=0.75) == {"1": "0"}


def test_most_near_duplicates_are_found_among_many_texts() -> None:
    draw = random.Random(7)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(500)]
    texts = {f"{i:04}": " ".join(draw.choices(words, k=12)) for i in range(1000)}
    copies = {f"{i:04}+": texts[f"{i:04}"] + " now" for i in range(0, 1000, 10)}
    assert near_duplicates(texts | copies) == {key: key.rstrip("+") for key in copies}


def test_an_exact_match_goes_before_a_near_one() -> None:
    assert contaminated({"t": LONG}, {"a": LONG + " Thanks!", "b": LONG}) == {"t": "b"}
