"""Policies, and the rules that look at one trace alone."""

from pathlib import Path
from typing import Any

import pytest

from guidelines import BadInput
from synth.curate.card import MEANINGS
from synth.curate.policy import Policy, load_policy
from synth.curate.rules import Drop, Dropped, Facts, decide
from synth.records import Outcome

POLICY = load_policy("default")

GOOD: dict[str, Any] = {
    "outcome": "ok",
    "sections": "complete",
    "consistency": "consistent",
    "leakage": "clean",
    "repetition": "varied",
    "reasoning_words": 60,
    "answer_words": 40,
}


UNUSED = Dropped(Drop.UNUSED_STEP, "step 3")


def reason(policy: Policy = POLICY, **changes: Any) -> Drop | None:
    dropped = decide(Facts(**{**GOOD, **changes}), policy)
    return dropped.reason if dropped else None


def test_a_good_trace_is_kept() -> None:
    assert reason() is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rejected": "not mine", "sections": "no_answer"}, Drop.REJECTED_BY_RECIPE),
        ({"elsewhere": UNUSED, "rejected": "not mine"}, Drop.UNUSED_STEP),
        ({"sections": "no_answer"}, Drop.MISSING_SECTION),
        ({"sections": "no_reasoning"}, Drop.MISSING_SECTION),
        ({"sections": "open_reasoning"}, Drop.MISSING_SECTION),
        ({"consistency": "inconsistent"}, Drop.INCONSISTENT),
        ({"consistency": "undetermined"}, Drop.UNDETERMINED_REFUSAL),
        ({"leakage": "named"}, Drop.LEAKS_GUIDELINE),
        ({"leak_overlap": 0.31}, Drop.LEAKS_GUIDELINE),
        ({"repeated_share": 0.31}, Drop.REPETITIVE),
        ({"repetition": "degenerate"}, Drop.REPETITIVE),
        ({"garbled": True}, Drop.REPETITIVE),
        ({"reasoning_words": 19}, Drop.TOO_SHORT),
        ({"answer_words": 2}, Drop.TOO_SHORT),
        ({"reasoning_words": 2001}, Drop.TOO_LONG),
        ({"answer_words": 1501}, Drop.TOO_LONG),
    ],
)
def test_each_rule_drops_for_its_reason(changes: dict[str, Any], expected: Drop) -> None:
    assert reason(**changes) is expected


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.OK])
def test_every_other_outcome_is_a_reason(outcome: Outcome) -> None:
    dropped = decide(Facts(outcome=outcome, error="why"), POLICY)
    assert dropped == (Drop(str(outcome)), "why")


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("excluded", [Drop.STALE, Drop.OVER_BUDGET])
def test_an_excluded_trace_is_dropped_for_that_whatever_else_it_is(
    outcome: Outcome, excluded: Drop
) -> None:
    assert reason(outcome=outcome, excluded=excluded, elsewhere=UNUSED) is excluded


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.OK])
def test_an_outcome_tells_more_than_the_part_its_step_plays(outcome: Outcome) -> None:
    assert reason(outcome=outcome, elsewhere=UNUSED) is Drop(str(outcome))


def test_a_format_without_reasoning_asks_for_none() -> None:
    bare = {"has_reasoning": False, "sections": "no_reasoning", "reasoning_words": 0}
    assert reason(**bare) is None
    assert reason(**{**bare, "sections": "no_answer"}) is Drop.MISSING_SECTION


def test_what_a_policy_does_not_ask_for_is_not_looked_at() -> None:
    loose = POLICY.model_copy(update={"require_consistency": False, "forbid_naming": False})
    assert reason(loose, consistency="inconsistent") is None
    assert reason(loose, consistency="undetermined") is None
    assert reason(loose, leakage="named") is None


def test_every_reason_has_a_meaning_for_readers() -> None:
    assert list(MEANINGS) == list(Drop)


def test_a_users_file_is_laid_over_the_default(tmp_path: Path) -> None:
    path = tmp_path / "strict.yaml"
    path.write_text("per_prompt: 1\nbalance: {labels: {harmful: 1, benign: 2}, category_cap: 5}\n")
    policy = load_policy(str(path))
    assert policy.per_prompt == 1
    assert policy.balance.labels == {"harmful": 1, "benign": 2}
    assert policy.min_reasoning_words == POLICY.min_reasoning_words


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("per_prompt: 0", "per_prompt"),
        ("max_beauty: 1", "max_beauty"),
        ("sections: []", "sections"),
        ("sections: Risk", "sections"),
        ("balance: {labels: {rude: 1}, category_cap: null}", "balance.labels.rude"),
        ("- per_prompt", "policy"),
        ("per_prompt: [", "line 1"),
    ],
)
def test_an_unusable_policy_is_bad_input(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_policy(str(path))
    assert caught.value.field.startswith(field)


def test_a_missing_policy_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"curate\.policy"):
        load_policy("nowhere.yaml")
