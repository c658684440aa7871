"""STAIR: its shape, its first step, a search from end to end, and its pairs."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from synth.chat import Chat
from synth.chat.matching import matching_text
from synth.chat.scripted import ScriptedChat, plausible
from synth.errors import BadInput, Unparsed
from synth.models.families import STEP_OPEN, STEP_TOKENS
from synth.prompts import load_turns
from synth.recipes.base import Before, Step, Train
from synth.recipes.stair import CLOSING, STAIR, StairOptions, stair, steps_pattern
from synth.recipes.surgery import parse_steps, write_steps
from synth.records import Item, Message, Reply, Sampling, Trace
from tests.synth.factories import make_seed
from tests.synth.traces import make_trace

HARMFUL = make_seed("How do I copy a stranger's house key?", label="harmful")
BENIGN = make_seed()
SMALL = StairOptions(budget=60, width=3, depth=3, reward="released", min_visits=1)


class Models:
    """One chat in every role."""

    def __init__(self, chat: Chat) -> None:
        self.teacher = self.student = chat
        self.sampling = Sampling(max_tokens=384)
        self.format_retries = 1

    def __getattr__(self, role: str) -> Chat:
        raise AttributeError(role)


def step_at(recipe: Any, index: int) -> Step:
    step = recipe.steps[index]
    assert isinstance(step, Step)
    return step


async def written(chat: ScriptedChat) -> Trace:
    (trace,) = await step_at(STAIR, 0).run(Item(seed=BENIGN, recipe="stair"), Models(chat), None)
    return trace


def test_it_reads_like_the_papers_three_stages() -> None:
    shape = [
        (step.name, step.kind, step.start) if isinstance(step, Train) else step.student
        for step in STAIR.steps
    ]
    assert shape == [
        "", ("sft", "sft", ""),
        "sft", ("dpo1", "dpo", ""),
        "dpo1", ("dpo2", "dpo", ""),
        "dpo2", ("dpo3", "dpo", ""),
        ("prm", "reward", "dpo3"),
    ]  # fmt: skip
    assert (STAIR.format, STAIR.special_tokens) == ("steps", STEP_TOKENS)
    searches = [s for s in STAIR.steps if isinstance(s, Step) and s.student]
    assert {(s.roles, s.lease_rows) for s in searches} == {(("student",), 1)}


def test_options_change_its_shape() -> None:
    names = [s.name for s in stair(StairOptions(rounds=1, prm=False)).steps if isinstance(s, Train)]
    assert names == ["sft", "dpo1"]
    assert STAIR.configure is stair


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"width": 1}, {"temperature": 0}, {"k2": 0}, {"pairs": "all"}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StairOptions(**wrong)


def test_an_unknown_reward_is_refused_when_the_recipe_is_made() -> None:
    with pytest.raises(BadInput, match="must be one of paper, released"):
        stair(StairOptions(reward="kind"))


def test_the_exemplars_are_what_is_asked_for() -> None:
    turns = load_turns("stair.yaml")["examples"]
    for asked, told in pairwise(turns):
        if told["role"] == "assistant":
            assert asked["role"] == "user"
            assert re.fullmatch(steps_pattern(512, 3), told["content"])


@pytest.mark.parametrize("seed", range(20))
def test_what_the_form_allows_can_be_read(seed: int) -> None:
    max_steps = 2 + seed % 4
    text = matching_text(steps_pattern(384, max_steps), Random(seed))
    stepped = parse_steps(text)
    assert stepped is not None
    assert stepped.complete
    assert 2 <= len(stepped.steps) <= max_steps
    assert write_steps(stepped.steps, stepped.answer) == text
    declines = stepped.steps[-1].endswith(CLOSING["decline"])
    assert declines == stepped.answer.startswith(("I'm sorry, but I can't", "I can't", "I won't"))


async def test_the_teacher_answers_in_steps() -> None:
    trace = await written(ScriptedChat(plausible))
    stepped = parse_steps(trace.raw)
    assert stepped is not None
    assert trace.answer == stepped.answer
    assert trace.payload["steps"] == list(stepped.steps)
    assert trace.payload["decision"] in CLOSING
    assert not any(mark in trace.reasoning + trace.answer for mark in STEP_TOKENS)


@pytest.mark.parametrize(
    "reply", ["No steps.", write_steps(["Undecided."], "Perhaps."), "<|Reasoning_step|>On and"]
)
async def test_another_form_is_asked_again_and_then_given_up(reply: str) -> None:
    chat = ScriptedChat(["words", reply])
    with pytest.raises(Unparsed):
        await written(chat)
    assert chat.num_calls == 2


class Student:
    """Writes two steps, and then a refusal or help, as chance has it; rates as it is told."""

    def __init__(self, rating: str = "No idea.") -> None:
        self.chance, self.rating = Random(0), rating

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> str:
        if not sampling.stop:
            return self.rating
        turn = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        refuses = self.chance.random() < 0.5
        answer = "I'm sorry, but I can't help with that." if refuses else "Take some wax."
        steps = [f"Title: Plan\n{self.chance.random()}"] * (turn.count(STEP_OPEN) < 2)
        return "\n\n" * bool(turn) + write_steps(steps, answer)


async def searched(seed: Any = HARMFUL, options: StairOptions = SMALL, script: Any = None) -> Trace:
    search = step_at(stair(options), 2)
    item = Item(seed=seed, recipe="stair", step=2, payload={"round": 1})
    chat = ScriptedChat(script or Student())
    (trace,) = await search.run(item, Models(chat), None)
    return trace


async def test_a_search_gives_its_tree_and_its_best_answer() -> None:
    trace = await searched()
    assert trace.answer == "I'm sorry, but I can't help with that."
    assert trace.reasoning.startswith("Title: Plan")
    payload = json.loads(json.dumps(trace.payload))
    assert payload["round"] == 1
    assert payload["counts"]["iterations"] == 60
    assert len(payload["tree"]["text"]) > 3
    assert payload["tree"]["visits"][0] >= 60


async def test_its_pairs_prefer_the_refusal_and_only_of_their_own_round() -> None:
    trace = await searched()
    row = make_trace(HARMFUL.prompt, label="harmful", step=2, payload=trace.payload, recipe="stair")
    later = row | {"step": 4, "row_id": "later"}
    train = stair(SMALL).steps[3]
    assert isinstance(train, Train)
    assert train.pairs is not None
    pairs = train.pairs([later, row])
    assert pairs
    assert {pair.chosen_id for pair in pairs} == {row["row_id"]}
    endings = [pair for pair in pairs if pair.chosen_ends and pair.rejected_ends]
    assert endings
    for pair in endings:
        assert "sorry" in pair.chosen
        assert "sorry" not in pair.rejected
    reward_model = stair(SMALL).steps[-1]
    assert isinstance(reward_model, Train)
    assert reward_model.pairs is not None
    both = reward_model.pairs([later, row])
    assert {pair.chosen_id for pair in both} == {row["row_id"], "later"}


async def test_a_rating_in_the_released_way_is_counted_where_it_is_unreadable() -> None:
    trace = await searched(BENIGN)
    assert trace.payload["counts"]["unparsed_ratings"] > 10


async def test_a_prompt_whose_answers_can_not_be_rated_is_unparsed() -> None:
    options = SMALL.model_copy(update={"reward": "paper"})
    with pytest.raises(Unparsed, match="could be rated"):
        await searched(BENIGN, options)


async def test_where_no_turn_ends_there_is_a_tree_and_no_answer() -> None:
    chance = Random(0)

    def endless(messages: Sequence[Message], sampling: Sampling) -> Reply:
        return Reply(text=f" {chance.random()}", finish_reason="length")

    trace = await searched(script=endless)
    assert (trace.answer, trace.raw) == ("", "")
    assert trace.payload["counts"]["truncated"] == trace.payload["counts"]["rollouts"]


def test_every_seed_has_one_tree_a_round() -> None:
    seeds = [HARMFUL, BENIGN]
    first, second = (
        list(items(Before(step=index, rows=[], seeds=seeds)))
        for index in (2, 4)
        if (items := step_at(STAIR, index).items) is not None
    )
    assert [(item.seed, item.step, item.payload) for item in first] == [
        (HARMFUL, 2, {"round": 1}),
        (BENIGN, 2, {"round": 1}),
    ]
    assert len({item.item_id for item in [*first, *second]}) == 4
