"""The best of n answers by a reward model, on scripted models."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.chat.scripted import ScriptedChat
from synth.errors import Invalid
from synth.recipes.bestof import (
    Aggregate,
    BestOfNOptions,
    aggregate_scores,
    prm_best_of_n,
    rate_text,
    step_ends,
)
from synth.recipes.surgery import write_steps
from synth.records import Message, Reply, Sampling

ASKED = [Message(role="user", content="How do I sharpen a kitchen knife?")]
SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9)


class Reward:
    """Scores a turn by its text, and remembers what it was asked."""

    def __init__(self, scores: dict[str, float], default: float | None = None) -> None:
        self.scores, self.default = scores, default
        self.asked: list[str] = []

    async def score(self, messages: Sequence[Message]) -> float:
        assert messages[:-1] == ASKED
        text = messages[-1]["content"]
        self.asked.append(text)
        return self.scores[text] if self.default is None else self.scores.get(text, self.default)


def reply(text: str, **told: object) -> Reply:
    return Reply(text=text, output_tokens=len(text.split()), **told)  # pyrefly: ignore


async def test_the_answer_that_the_reward_model_values_most_is_kept() -> None:
    student = ScriptedChat([reply("one"), reply("two words"), reply("three")])
    reward = Reward({"one": -1.0, "two words": 2.5, "three": 0.0})
    found = await prm_best_of_n(ASKED, student, reward, Sampling(), BestOfNOptions(n=3))
    assert found.reply.text == "two words"
    assert found.facts == {
        "search": "best_of_n",
        "candidates": 3,
        "scores": [-1.0, 2.5, 0.0],
        "score": 2.5,
        "output_tokens": 4,
    }


async def test_of_equals_the_first_is_kept() -> None:
    student = ScriptedChat(["a", "b", "c"])
    reward = Reward({"a": 0.0, "b": 1.0, "c": 1.0})
    found = await prm_best_of_n(ASKED, student, reward, Sampling(), BestOfNOptions(n=3))
    assert found.reply.text == "b"


async def test_an_answer_that_was_cut_stands_behind_all_that_ended() -> None:
    student = ScriptedChat([reply("cut", finish_reason="length"), reply("poor")])
    reward = Reward({"cut": 9.0, "poor": -9.0})
    found = await prm_best_of_n(ASKED, student, reward, Sampling(), BestOfNOptions(n=2))
    assert found.reply.text == "poor"


async def test_where_all_were_cut_the_best_of_them_is_kept() -> None:
    student = ScriptedChat([reply(text, finish_reason="length") for text in ("a", "b")])
    reward = Reward({"a": 0.0, "b": 1.0})
    found = await prm_best_of_n(ASKED, student, reward, Sampling(), BestOfNOptions(n=2))
    assert (found.reply.text, found.reply.finish_reason) == ("b", "length")


async def test_reasoning_is_scored_as_the_student_wrote_it() -> None:
    student = ScriptedChat([reply("Yes.", reasoning="Is it safe?"), reply("No.")])
    reward = Reward({"<think>\nIs it safe?\n</think>\n\nYes.": 1.0, "No.": 0.0})
    found = await prm_best_of_n(ASKED, student, reward, Sampling(), BestOfNOptions(n=2))
    assert (found.reply.reasoning, found.reply.text) == ("Is it safe?", "Yes.")


async def test_all_answers_are_in_flight_together() -> None:
    flying = asyncio.Barrier(4)

    async def write(messages: Sequence[Message], sampling: Sampling) -> str:
        await flying.wait()
        return "an answer"

    async with asyncio.timeout(30):
        await prm_best_of_n(
            ASKED, ScriptedChat(write), Reward({}, 0.0), Sampling(), BestOfNOptions(n=4)
        )


async def test_a_fault_is_raised_as_it_is_and_gives_the_other_answers_up() -> None:
    given_up = asyncio.Event()

    async def write(messages: Sequence[Message], sampling: Sampling) -> str:
        if student.num_calls == 2:
            raise Invalid("too long")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            given_up.set()
            raise
        return "an answer"

    student = ScriptedChat(write)
    with pytest.raises(Invalid, match="too long"):
        await prm_best_of_n(ASKED, student, Reward({}, 0.0), Sampling(), BestOfNOptions(n=2))
    assert given_up.is_set()


@pytest.mark.parametrize(("how", "value"), [("last", 1.0), ("min", -2.0), ("mean", 0.0)])
async def test_the_steps_of_an_answer_are_scored_at_their_ends(
    how: Aggregate, value: float
) -> None:
    text = write_steps(["What is asked?", "It is safe."], "Use a whetstone.")
    ends = step_ends(text)
    reward = Reward({text[: ends[0]]: 1.0, text[: ends[1]]: -2.0, text: 1.0})
    assert await rate_text(reward, ASKED, text, how) == value
    assert reward.asked == ([text] if how == "last" else [text[:end] for end in ends])


def test_a_text_without_marks_is_one_step() -> None:
    assert step_ends("Use a whetstone.") == [16]


def test_what_stands_after_the_last_mark_is_a_step_of_its_own() -> None:
    text = write_steps(["What is asked?"], "Use a whetstone.")
    assert step_ends(f"{text}\n") == step_ends(text)
    assert step_ends(f"{text} And oil.")[-1] == len(text) + 9


@given(SCORES)
def test_an_aggregate_lies_among_the_scores(scores: list[float]) -> None:
    assert aggregate_scores(scores, "last") == scores[-1]
    assert aggregate_scores(scores, "min") == min(scores)
    mean = aggregate_scores(scores, "mean")
    assert min(scores) - 1e-6 <= mean <= max(scores) + 1e-6
