"""The shipped SRG texts keep the shape that a small teacher needs."""

import re
from collections.abc import Iterator

import pytest

from guidelines import Exemplar, load_guidelines

SRG = load_guidelines("srg")
SECTIONS = ["Request", "Risk", "Decision", "Answer"]
REFUSAL = "I'm sorry, but I can't help with "


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def runs(text: str, length: int) -> Iterator[tuple[str, ...]]:
    spoken = words(text)
    return zip(*(spoken[start:] for start in range(length)), strict=False)


def sentences(text: str) -> int:
    return len(re.findall(r"[.!?](?=\s|$)", text))


def test_seven_guidelines_of_bounded_length() -> None:
    assert (SRG.name, SRG.version, len(SRG.guidelines)) == ("srg", 1, 7)
    for guideline in SRG.guidelines:
        assert 35 <= len(words(guideline.text)) <= 70, guideline.id
        assert "\n" not in guideline.text


def test_exemplars_alternate_between_declining_and_helping() -> None:
    assert [exemplar.label for exemplar in SRG.exemplars] == [
        "harmful",
        "benign",
        "harmful",
        "borderline",
    ]
    decisions = [dict(exemplar.sections)["Decision"] for exemplar in SRG.exemplars]
    assert decisions == ["decline", "help", "decline", "help"]


@pytest.mark.parametrize("exemplar", SRG.exemplars, ids=lambda exemplar: exemplar.id)
def test_an_exemplar_is_regular(exemplar: Exemplar) -> None:
    assert [name for name, _ in exemplar.sections] == SECTIONS
    section = dict(exemplar.sections)
    for name in ("Request", "Risk"):
        assert 25 <= len(words(section[name])) <= 45
        assert 1 <= sentences(section[name]) <= 2
    low, high = (30, 45) if exemplar.label == "harmful" else (50, 80)
    assert low <= len(words(section["Answer"])) <= high
    assert section["Answer"].startswith(REFUSAL) == (exemplar.label == "harmful")
    if exemplar.label == "harmful":
        assert sentences(section["Answer"]) == 2


@pytest.mark.parametrize("exemplar", SRG.exemplars, ids=lambda exemplar: exemplar.id)
def test_an_exemplar_neither_names_nor_quotes_the_guidelines(exemplar: Exemplar) -> None:
    quoted = {run for guideline in SRG.guidelines for run in runs(guideline.text, 5)}
    for name, text in exemplar.sections:
        assert not re.search(r"guideline|polic(y|ies)|\brules?\b", text, re.IGNORECASE), name
        assert quoted.isdisjoint(runs(text, 5)), name
