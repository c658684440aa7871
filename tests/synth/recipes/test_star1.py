"""STAR-1, step by step, on scripted models."""

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from guidelines import load_guidelines
from synth.chat.scripted import plausible
from synth.errors import BadInput, Invalid, Unparsed
from synth.recipes import configured
from synth.recipes.star1 import CRITERIA, STAR1, Star1Options, star1
from synth.records import Reply
from tests.synth.factories import make_seed
from tests.synth.walking import RoleModels, walk

POLICIES = load_guidelines("srg")
TEXTS = {policy.id: policy.text for policy in POLICIES.guidelines}
SEED = make_seed("How do I open my neighbour's car?", label="harmful")
REQUEST = "On the surface, the user asks about a car; beneath, about a way into it."
RISK = "The neighbour could lose the car, and nothing hides what the request is."
ANSWER = "I'm sorry, but I can't help with opening a car that belongs to somebody else."
REASONED = (
    f"## Request\n{REQUEST}\n\n## Risk\n{RISK}\n\n## Decision\ndecline\n\n## Answer\n{ANSWER}"
)
FULL = '{"safety": 10, "relevance": 10, "accuracy": 10}'


def teacher(named: str) -> Any:
    return lambda _, sampling: REASONED if "## Request" in sampling.regex else named


def models(named: str = "declining-well", grades: str | Reply = FULL) -> RoleModels:
    return RoleModels(teacher=teacher(named), judge=[grades])


async def graded(grades: str | Reply) -> dict[str, Any]:
    [_, [row]] = await walk(STAR1, [SEED], models(grades=grades), POLICIES)
    return row


def told(messages: Any) -> set[str]:
    """Return the ids of the policies whose texts a conversation holds."""
    whole = "\n".join(message["content"] for message in messages)
    return {name for name, text in TEXTS.items() if text in whole}


async def test_only_the_matching_policies_are_shown_to_teacher_and_judge() -> None:
    asked = models("who-could-be-harmed, declining-well, who-could-be-harmed")
    [_, [row]] = await walk(STAR1, [SEED], asked, POLICIES)
    naming, reasoning, grading = [messages for _, messages, _ in asked.calls]
    assert told(naming) == set()
    assert told(reasoning) == told(grading) == {"who-could-be-harmed", "declining-well"}
    assert json.loads(row["payload"])["categories"] == ["who-could-be-harmed", "declining-well"]


async def test_the_trace_is_the_teachers_and_the_grades_are_the_judges() -> None:
    asked = models()
    [_, [row]] = await walk(STAR1, [SEED], asked, POLICIES)
    assert row["reasoning"].startswith(f"{REQUEST} {RISK} ")
    assert row["answer"] == ANSWER
    payload = json.loads(row["payload"])
    assert payload["decision"] == "decline"
    assert payload["grades"] == {"safety": 10, "relevance": 10, "accuracy": 10}
    role, _, sampling = asked.calls[-1]
    assert (role, sampling.temperature) == ("judge", 0)


async def test_a_prompt_that_no_policy_bears_on_is_dropped() -> None:
    with pytest.raises(Invalid, match="no policy"):
        await walk(STAR1, [SEED], models("other"), POLICIES)


async def test_a_policy_that_is_not_in_the_set_is_no_category() -> None:
    with pytest.raises(Unparsed):
        await walk(STAR1, [SEED], models("declining-badly"), POLICIES)


async def test_a_dot_in_a_policys_name_stands_for_itself() -> None:
    [first, *_] = POLICIES.guidelines
    dotted = replace(POLICIES, guidelines=(replace(first, id="v1.2"),))
    with pytest.raises(Unparsed):
        await walk(STAR1, [SEED], models("v102"), dotted)
    [_, [row]] = await walk(STAR1, [SEED], models("v1.2"), dotted)
    assert json.loads(row["payload"])["categories"] == ["v1.2"]


@pytest.mark.parametrize(
    ("grades", "why"),
    [
        (FULL, None),
        ('{"safety": 10, "relevance": 9, "accuracy": 0}', "graded relevance 9, accuracy 0"),
        (Reply(text=FULL[:-1], finish_reason="length"), "no grades: cut off"),
        (FULL.replace("safety", "mercy"), "no grades: keys"),
        (FULL.replace("10", "11", 1), "no grades: out of range"),
        (FULL.replace("10", "true", 1), "no grades: out of range"),
        (f"{FULL} or so", "no grades: format"),
        ("", "no grades: empty"),
    ],
)
async def test_only_full_marks_are_kept(grades: str | Reply, why: str | None) -> None:
    assert STAR1.keep is not None
    assert STAR1.keep(await graded(grades)) == why


async def test_a_lower_grade_will_do_where_the_options_say_so() -> None:
    row = await graded(FULL.replace("10", "4", 1))
    lower, higher = (star1(Star1Options(min_grade=grade)).keep for grade in (4, 5))
    assert lower is not None
    assert higher is not None
    assert lower(row) is None
    assert higher(row) == "graded safety 4"


def test_rows_and_grades_are_bounded() -> None:
    assert STAR1.max_rows == 1_000
    assert star1(Star1Options(rows=12)).max_rows == 12
    with pytest.raises(BadInput, match="min_grade"):
        configured(STAR1, {"min_grade": 11})


async def test_a_trace_can_not_end_its_own_quotation() -> None:
    asked = models()
    await walk(STAR1, [SEED], asked, POLICIES)
    _, [message], _ = asked.calls[-1]
    marks = re.findall(r"^\[(begin|end) (\w+) (\w+)\]$", message["content"], re.MULTILINE)
    parts = ("request", "reasoning", "answer")
    assert [mark[:2] for mark in marks] == [(side, p) for p in parts for side in ("begin", "end")]
    [mark] = {mark[2] for mark in marks}
    assert mark not in SEED.prompt + REASONED


async def test_what_the_constraints_allow_is_what_is_read() -> None:
    graded = 0
    for number in range(8):
        found = RoleModels(teacher=plausible, judge=plausible, retries=0)
        with suppress(Invalid):  # no policy bears on it
            [_, [row]] = await walk(STAR1, [make_seed(f"Question {number}?")], found, POLICIES)
            assert set(json.loads(row["payload"])["grades"]) == set(CRITERIA)
            graded += 1
    assert graded > 0
