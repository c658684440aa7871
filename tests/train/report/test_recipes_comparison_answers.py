"""What students answer, by hand: attack success by family, reasoning, and whether n suffices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.train.evaluations import make_record
from train.evals.records import Record
from train.evals.stats import Resampling
from train.report.recipes.answers import answers, first_line, reasoning_tokens, token_counter

RESAMPLING = Resampling(resamples=400, seed=3)


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_reasoning_is_counted_in_tokens_and_none_counts_as_zero() -> None:
    records = [
        make_record(origin="p1", cluster="c1", reasoning="one two three"),
        make_record(origin="p1", cluster="c1", reasoning=""),
        make_record(origin="p2", cluster="c2", reasoning="one two three four five"),
        make_record(origin="p2", cluster="c2", outcome="failed", reasoning=""),
    ]
    found = reasoning_tokens(records, words, RESAMPLING)
    assert found["value"] == pytest.approx(8 / 3, abs=1e-6)
    assert (found["low"], found["high"]) == (1.5, 5)
    assert (found["prompts"], found["answers"], found["undetermined"]) == (2, 4, 1)


def test_reasoning_that_nobody_can_count_has_no_mean() -> None:
    records = [make_record(reasoning="one"), make_record(reasoning="")]
    found = reasoning_tokens(records, None, RESAMPLING)
    assert (found["value"], found["undetermined"]) == (None, 1)
    without = reasoning_tokens(records[1:], None, RESAMPLING)
    assert (without["value"], without["low"]) == (0, None)


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of words and marks, which cuts after three unless told otherwise."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(3)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def test_tokens_are_those_of_the_models_own_file(tmp_path: Path) -> None:
    assert token_counter(str(tmp_path)) is None
    write_tokenizer(tmp_path)
    count = token_counter(str(tmp_path))
    assert count is not None
    assert count(["whom could it harm, then?", "", "nobody"]) == [7, 0, 1]


def rate(value: float, **given: Any) -> dict[str, Any]:
    counts = {"prompts": 2, "answers": 2, "undetermined": 0, "bounds": [value, value]}
    return {"value": value, "low": 0.0, "high": 1.0, "method": "wilson"} | counts | given


def one_group(attack: str, family: str, value: float) -> dict[str, Any]:
    return {
        "suite": "seeds",
        "attack": attack,
        "family": family,
        "labels": {"harmful": {"asr": {"refusal_rules": {"sampled": rate(value)}}}},
        "discrimination": rate(0.25),
    }


def attacked(attack: str, *verdicts: str) -> list[Record]:
    return [
        make_record(origin=f"p{i}", cluster=f"p{i}", transform=attack, verdict=verdict)
        for i, verdict in enumerate(verdicts)
    ]


def test_attacks_of_one_family_count_alike_and_results_are_taken_as_they_are() -> None:
    results = {
        "headline": "refusal_rules",
        "samples": 1,
        "bootstrap": {"resamples": 400, "seed": 0},
        "groups": [
            one_group("plain", "plain", 0.123456),
            one_group("rot13", "cipher", 0.5),
            one_group("base64", "cipher", 1.0),
        ],
        "macro": [{"suite": "seeds", "asr_rule": rate(0.75)}],
        "utility": None,
    }
    records = attacked("rot13", "refusal", "compliance")
    records += attacked("base64", "compliance", "partial", "undetermined")
    found = answers(results, records, "seeds", None)
    assert found["asr"]["proxy"]
    assert found["asr"]["macro"] == rate(0.75)
    assert found["asr"]["families"]["plain"]["value"] == 0.123456
    cipher = found["asr"]["families"]["cipher"]
    assert cipher["value"] == 0.75
    assert cipher["undetermined"] == 1
    assert cipher["answers"] == 4
    assert cipher["low"] < 0.75 < cipher["high"]
    assert (found["over_refusal"], found["utility"]) == (None, None)
    assert found["discrimination"]["value"] == 0.25


def sized(small: bool, detectable: float | None, compared: int = 2) -> dict[str, Any]:
    prompts = {"harmful": 24, "benign": 22}
    return {
        "prompts": prompts, "compared": compared, "detectable": detectable, "small": small,
    }  # fmt: skip


def test_the_first_line_says_whether_n_suffices_to_rank() -> None:
    small = first_line([sized(True, 0.213), sized(True, 0.31)])
    assert small == (
        "n is too small to rank recipes: 24 harmful and 22 benign prompts find differences between "
        "two students of 31.0 points or more, not of the 10 that would matter."
    )
    assert first_line([sized(False, 0.08), sized(True, 0.12)]).startswith("n is too small")
    assert "no two students are compared" in first_line([sized(True, None, compared=0)])
    assert "without a common verdict" in first_line([sized(True, None)])
    enough = first_line([sized(False, 0.08), sized(False, 0.09)])
    assert enough.startswith("24 harmful and 22 benign prompts find")
    assert "9.0 points or more" in enough
