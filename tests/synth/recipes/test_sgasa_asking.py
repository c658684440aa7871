"""How SGASA asks, which answers it takes, and what it can not be talked into reading."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.calls.aio import gather_calls
from synth.errors import RowFault
from synth.judges.refusal import judge_refusal
from synth.recipes.sgasa import ended_well, sgasa, stance_of, why_not
from synth.recipes.sgasa_asking import CLASSIFY, SCORE, Question
from synth.recipes.sgasa_items import PROMPTS, SAMPLES
from synth.recipes.srg import CHARS_PER_TOKEN
from synth.records import Item, Message, Outcome, Reply, Sampling, Trace
from tests.synth.sgasa_scripts import (
    GUIDELINE,
    OPTIONS,
    SEEDS,
    THINKING,
    answer_item,
    make_models,
    payload,
    record,
    run_step,
    sections,
)
from tests.synth.traces import HELPING, REFUSING


def answers(label: str, *replies: str, **options: Any) -> list[dict[str, Any]]:
    recipe = sgasa(OPTIONS.model_copy(update=options))
    return run_step(recipe, answer_item(label), make_models(list(replies)))


HELPS, DECLINES = sections("help", HELPING), sections("decline", REFUSING)


def test_of_benign_answers_the_one_is_taken_that_the_model_scores_highest() -> None:
    scores = [f"<score>{score}</score>" for score in (3, 10, 10)]
    rows = answers("benign", HELPS, HELPS, HELPS, *scores)
    assert [payload(row)["score"] for row in rows] == [3, 10, 10]
    assert [why_not(row) for row in rows] == ["another is taken", None, "another is taken"]


def test_a_refusal_of_a_benign_prompt_is_not_scored() -> None:
    rows = answers("benign", DECLINES, HELPS, "no form", "<score>4</score>")
    assert [why_not(row) for row in rows] == ["declines", None, "undetermined"]
    assert [row["outcome"] for row in rows] == ["ok", "ok", "unparsed"]


def test_a_score_that_can_not_be_read_is_no_score() -> None:
    rows = answers("benign", HELPS, HELPS, HELPS, "ten", "<score>11</score>", "<score>2</score>")
    assert [why_not(row) for row in rows] == ["no score", "no score", None]
    rows = answers("benign", HELPS, HELPS, HELPS, "", "<score>0</score>", "<score>7/10</score>")
    assert {why_not(row) for row in rows} == {"no score"}
    assert {payload(row)["score"] for row in rows} == {None}


def test_of_harmful_answers_the_first_that_declines_is_taken() -> None:
    rows = answers("harmful", HELPS, DECLINES, DECLINES)
    assert [why_not(row) for row in rows] == ["complies", None, "another is taken"]
    assert [row["answer"] for row in rows] == [HELPING, REFUSING, REFUSING]


def test_an_answer_that_does_not_do_as_it_decided_is_undetermined() -> None:
    rows = answers("harmful", sections("help", REFUSING), sections("decline", HELPING), HELPS)
    assert [why_not(row) for row in rows] == ["undetermined", "undetermined", "complies"]


def test_words_of_refusal_may_be_given() -> None:
    told = Trace(reasoning="r", answer="Nope, and I am SORRY about it.")
    words = OPTIONS.model_copy(update={"refusal_words": ("sorry",)})
    assert stance_of(told, words) == "declines"
    assert stance_of(Trace(reasoning="r", answer=REFUSING), words) == "complies"
    assert stance_of(Trace(reasoning="r", answer="", outcome=Outcome.UNPARSED), words) == (
        "undetermined"
    )


def test_who_declines_a_part_declines() -> None:
    part = f"I can't help with the lock itself, but here is what you can do instead: {HELPING * 4}"
    assert judge_refusal(part).verdict == "partial"
    assert stance_of(Trace(reasoning="r", answer=part), OPTIONS) == "declines"


def test_traces_that_name_guidelines_are_kept_unless_forbidden() -> None:
    naming = sections("decline", f"{REFUSING} The guidelines say so.")
    assert [why_not(row) for row in answers("harmful", naming, DECLINES, HELPS)][:2] == [
        None,
        "another is taken",
    ]
    rows = answers("harmful", naming, DECLINES, HELPS, forbid_naming=True)
    assert [why_not(row) for row in rows][:2] == ["names guidelines", None]


def test_a_target_that_thinks_by_itself_is_asked_plainly() -> None:
    asked: list[tuple[Sequence[Message], Sampling]] = []
    thought = Reply(text=REFUSING, reasoning="They want a chair.")
    open_ended = Reply(text="", reasoning="And then", finish_reason="length")
    models = record([thought, Reply(text=REFUSING), open_ended], asked)
    rows = run_step(sgasa(THINKING), answer_item("harmful"), models)
    assert [row["outcome"] for row in rows] == ["ok", "unparsed", "truncated"]
    assert (rows[0]["reasoning"], rows[0]["answer"]) == ("They want a chair.", REFUSING)
    for messages, sampling in asked:
        [turn] = messages
        tagged, request = f"<guidelines>\n{GUIDELINE}\n</guidelines>", "Mend a chair."
        assert turn["content"].startswith(tagged)
        assert turn["content"].index(request) < turn["content"].rindex("consult the guidelines")
        assert sampling == Sampling(temperature=0.6, max_tokens=300)


def test_a_target_that_thinks_may_lead_up_to_its_tag_and_write_any_text_there() -> None:
    item = Item(seed=SEEDS[0], recipe="sgasa", step=PROMPTS, payload={"shown": ["Steal a hat."]})
    models = make_models(["Here: <text>Break\ninto <it>.</text>", "So: <Answer>harmful</Answer>"])
    [row] = run_step(sgasa(THINKING), item, models)
    assert (row["answer"], payload(row)["verdict"]) == ("Break\ninto <it>.", "kept")


def test_the_student_is_asked_nothing_but_the_prompt() -> None:
    asked: list[tuple[Sequence[Message], Sampling]] = []
    replies = [Reply(text=t, reasoning="Well.") for t in (REFUSING, HELPING, "<think> again")]
    models = record(replies, asked)
    models.target = None
    rows = run_step(sgasa(OPTIONS), answer_item("harmful", SAMPLES), models)
    plain = Sampling(temperature=0.6, max_tokens=300)
    assert asked == [([Message(role="user", content="Mend a chair.")], plain)] * 3
    assert [row["outcome"] for row in rows] == ["ok", "ok", "unparsed"]
    assert [ended_well(row) for row in rows] == [True, False, None]


async def test_where_one_call_fails_the_others_end_too() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        await asyncio.sleep(0)
        raise RowFault("not this one")

    with pytest.raises(RowFault):
        await gather_calls([endless(), failing()])
    async with asyncio.timeout(5):
        await ended.wait()


def test_the_papers_length_binds_where_it_is_less() -> None:
    asked: list[tuple[Sequence[Message], Sampling]] = []
    models = record([HELPS] * 3, asked)
    run_step(sgasa(OPTIONS.model_copy(update={"max_tokens": 99})), answer_item("harmful"), models)
    assert {sampling.max_tokens for _, sampling in asked} == {99}


def test_a_prompt_has_room_in_the_budget_however_long_the_examples_are() -> None:
    asked: list[tuple[Sequence[Message], Sampling]] = []
    shown = {"shown": ["Steal a hat. " * 400]}
    item = Item(seed=SEEDS[0], recipe="sgasa", step=PROMPTS, payload=shown)
    models = record(["<text>Break into a bakery.</text>", "<Answer>harmful</Answer>"], asked)
    run_step(sgasa(OPTIONS), item, models)
    [(most,)] = [re.findall(r",(\d+)\}", str(asked[0][1].regex))]
    assert int(most) < asked[0][1].max_tokens * CHARS_PER_TOKEN


@given(text=st.text("<>/Answer harmfulbenign", max_size=60))
def test_a_reply_is_read_only_where_it_is_beyond_doubt(text: str) -> None:
    for bounded in (True, False):
        assert CLASSIFY.read(text, bounded) in (None, "harmful", "benign")
    assert SCORE.read(f"<score>{text}</score>", bounded=False) is None


@given(score=st.integers(-20, 20))
def test_scores_are_whole_numbers_from_1_to_10(score: int) -> None:
    found = SCORE.read(f"<score> {score} </score>", bounded=True)
    assert found == (str(score) if 1 <= score <= 10 else None)


def test_a_text_can_not_close_its_own_tag() -> None:
    question = Question(name="write", tag="text", pattern=".+", is_text=True)
    assert question.read("<text>a</text> b </text>", bounded=False) is None
    assert question.read("<text>a <text>b</text>", bounded=False) is None
