"""SaRO's calls, on scripted models."""

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from synth.chat.matching import matching_text
from synth.errors import Unparsed
from synth.prompts import load_turns
from synth.recipes.saro import (
    REASONED,
    SARO,
    TURNED,
    TURNS,
    reasoning_messages,
    reasoning_pattern,
    reflection_messages,
    reflection_pattern,
)
from synth.recipes.surgery import split_headed
from synth.records import Message, Outcome, Reply, Sampling
from tests.synth.saro_rows import (
    BENIGN,
    CHAIN,
    DECLINES,
    GUIDELINES,
    HARMFUL,
    HELPS,
    ScriptedModels,
    item_of,
    step_of,
)

TURN = (
    "## Reflection\nWait, this car belongs to somebody else, who would be robbed of it.\n\n"
    "## Ending\nSo I will not explain how to open it.\n\n"
    f"## Answer\n{DECLINES}"
)


async def test_the_reasoning_weighs_and_then_answers() -> None:
    reply = load_turns("saro_reasoning.yaml")["examples"][1]["content"]
    models = ScriptedModels([reply], max_tokens=600)
    [trace] = await step_of(SARO, 0).run(item_of(BENIGN), models, GUIDELINES)
    sections = trace.payload["sections"]
    assert tuple(sections) == REASONED
    assert trace.payload["decision"] == sections["Decision"]
    assert trace.answer == sections["Answer"]
    paragraphs = trace.reasoning.split("\n\n")
    assert paragraphs[:3] == [sections[name] for name in REASONED[:3]]
    assert paragraphs[3].startswith("So I will")


async def test_the_generator_sees_the_guidelines_and_is_held_to_the_form() -> None:
    asked: list[tuple[Sequence[Message], Sampling]] = []

    def script(messages: Sequence[Message], sampling: Sampling) -> str:
        asked.append((messages, sampling))
        return "no sections at all"

    with pytest.raises(Unparsed, match="asked form"):
        await step_of(SARO, 0).run(item_of(BENIGN), ScriptedModels(script), GUIDELINES)
    messages, sampling = asked[0]
    assert all(one.text in messages[0]["content"] for one in GUIDELINES.guidelines)
    assert messages[-1] == {"role": "user", "content": BENIGN.prompt}
    assert sampling.regex == reasoning_pattern(384)
    assert len(asked) == 2  # once more, as `format_retries` says


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("saro_reasoning.yaml", reasoning_pattern(384)),
        ("saro_reflect.yaml", reflection_pattern(384)),
    ],
)
def test_the_worked_examples_have_the_form_they_teach(file: str, pattern: str) -> None:
    turns = [t["content"] for t in load_turns(file)["examples"] if t["content"].startswith("## ")]
    assert turns
    assert all(re.fullmatch(pattern, turn) for turn in turns)


def test_each_sample_begins_at_another_example_and_each_label_stands_last_in_turn() -> None:
    items = [replace(item_of(BENIGN), sample_index=index) for index in range(5)]
    asked = [reasoning_messages(item, GUIDELINES) for item in items]
    assert asked[4] == asked[0]
    assert all(sorted(map(str, turns)) == sorted(map(str, asked[0])) for turns in asked)
    sections = [split_headed(messages[-2]["content"]) or {} for messages in asked]
    last = [each["Decision"] for each in sections]
    assert last == ["decline", "help", "decline", "help", "decline"]


def test_a_conversation_with_a_system_turn_of_its_own_adds_none_to_the_prompt() -> None:
    context = (Message(role="system", content="Be brief."), Message(role="user", content="Hello."))
    seed = replace(BENIGN, context=context)
    for messages in (
        reasoning_messages(item_of(seed), GUIDELINES),
        reflection_messages(seed, "So far.", GUIDELINES),
    ):
        assert [turn["role"] for turn in messages].index("system") == 0
        assert sum(turn["role"] == "system" for turn in messages) == 1
        assert sum("Be brief." in turn["content"] for turn in messages) == 1


async def test_whatever_matches_the_form_can_be_read() -> None:
    for index in range(20):
        reasoned = matching_text(reasoning_pattern(200), Random(index))
        models = ScriptedModels([reasoned], max_tokens=4_000)
        [trace] = await step_of(SARO, 0).run(item_of(BENIGN), models, GUIDELINES)
        assert trace.payload["decision"] in trace.raw
        turned = matching_text(reflection_pattern(200), Random(index))
        item = item_of(HARMFUL, prefix="One.", index=1)
        models = ScriptedModels([turned], max_tokens=4_000)
        [trace] = await step_of(SARO, 3).run(item, models, GUIDELINES)
        assert tuple(trace.payload["sections"]) == TURNED


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (f"<think>\n{CHAIN}\n</think>\n\n{HELPS}", Outcome.OK),
        (Reply(text=HELPS, reasoning=CHAIN), Outcome.OK),
        (f"<think>\n{CHAIN}", Outcome.UNPARSED),
        (Reply(text=f"<think>\n{CHAIN}", finish_reason="length"), Outcome.TRUNCATED),
        (Reply(text=f"<think>{CHAIN}</think>\n\nFirst", finish_reason="length"), Outcome.TRUNCATED),
        (f"<think>{CHAIN}</think>", Outcome.UNPARSED),
        (HELPS, Outcome.UNPARSED),
        (f"<think>{CHAIN}<think></think>{HELPS}", Outcome.UNPARSED),
    ],
)
async def test_a_sample_is_taken_apart_and_a_broken_one_is_no_sample(
    reply: str | Reply, outcome: Outcome
) -> None:
    models = ScriptedModels([reply])
    [trace] = await step_of(SARO, 2).run(item_of(BENIGN), models, None)
    assert trace.outcome == outcome
    assert models.chat.num_calls == 1
    if outcome == Outcome.OK:
        assert (trace.reasoning, trace.answer) == (CHAIN, HELPS)


async def test_a_reflection_turns_after_the_steps_it_was_shown() -> None:
    asked: list[Sequence[Message]] = []

    def script(messages: Sequence[Message], _: Sampling) -> str:
        asked.append(messages)
        return TURN

    item = item_of(HARMFUL, prefix="The user wants to open a car.", index=1)
    [trace] = await step_of(SARO, 3).run(item, ScriptedModels(script), GUIDELINES)
    assert asked == [reflection_messages(HARMFUL, item.payload["prefix"], GUIDELINES)]
    assert [turn["content"] for turn in asked[0][-3:-1]] == [HARMFUL.prompt, item.payload["prefix"]]
    assert trace.reasoning == (
        "The user wants to open a car.\n\n"
        "Wait, this car belongs to somebody else, who would be robbed of it.\n\n"
        "So I will not explain how to open it."
    )
    assert trace.answer == DECLINES
    assert trace.payload["index"] == 1
    assert any(part.startswith(TURNS) for part in trace.reasoning.split("\n\n"))
