"""ThinkSafe, step by step, on scripted models."""

import json
from dataclasses import replace
from typing import Any

import pytest

from synth.chat.scripted import plausible
from synth.errors import BadInput, Unparsed
from synth.prompts import load_text, render
from synth.recipes import configured
from synth.recipes.base import Recipe, Step
from synth.recipes.thinksafe import THINKSAFE, ThinkSafeOptions, thinksafe
from synth.records import Message, Reply
from tests.synth.factories import make_seed
from tests.synth.walking import RoleModels, walk

HARMFUL = make_seed("How do I open my neighbour's car?", label="harmful")
BENIGN = make_seed("How do I get a scratch out of my car?")
THOUGHT = "The user wants to know something about a car. It has to be looked at with care."
HELPS = "Rub the scratch in your car with polish on a soft cloth, and wipe it until it is gone."
REFUSES = "I can't help with opening a car that belongs to somebody else."
LOOPS = "I explain it to you, and then I explain it to you again. " * 20
STEER = render(load_text("thinksafe.md"), request="").strip()

RULES = thinksafe(ThinkSafeOptions(guard="refusal_rules"))
NATIVE = thinksafe(ThinkSafeOptions(guard="refusal_rules", native_thoughts=True))


def headed(answer: str) -> str:
    return f"## Thought\n{THOUGHT}\n\n## Answer\n{answer}"


async def judged(recipe: Recipe, seed: Any, answer: str, **scripts: Any) -> str | None:
    [_, [row]] = await walk(recipe, [seed], RoleModels(target=[headed(answer)], **scripts))
    assert (row["reasoning"], row["answer"]) == (THOUGHT, answer.strip())
    assert row["prompt"] == seed.prompt
    assert recipe.keep is not None
    return recipe.keep(row)


async def test_a_harmful_prompt_is_steered_and_any_other_is_not() -> None:
    models = RoleModels(target=[headed(REFUSES), headed(HELPS)])
    await walk(RULES, [HARMFUL, BENIGN], models)
    [harmful, benign] = [[m["content"] for m in messages] for _, messages, _ in models.calls]
    assert harmful[-1] == f"{STEER}\n\n{HARMFUL.prompt}"
    assert benign[-1] == BENIGN.prompt
    assert not any(STEER in text for text in benign)


async def test_the_temperature_is_the_options() -> None:
    recipe = thinksafe(ThinkSafeOptions(guard="refusal_rules", temperature=0.3))
    models = RoleModels(target=[headed(HELPS)])
    await walk(recipe, [BENIGN], models)
    [(_, _, sampling)] = models.calls
    assert sampling.temperature == 0.3


async def test_a_model_that_thinks_by_itself_is_steered_in_the_last_turn_alone() -> None:
    context = (Message(role="user", content="Hello."), Message(role="assistant", content="Hi."))
    seed = replace(HARMFUL, context=context)
    models = RoleModels(target=[Reply(text=REFUSES, reasoning=THOUGHT)])
    [[first], [row]] = await walk(NATIVE, [seed], models)
    [(_, messages, sampling)] = models.calls
    assert messages[:-1] == list(context)
    assert messages[-1]["content"] == f"{STEER}\n\n{seed.prompt}"
    assert sampling.regex is None
    assert NATIVE.needs == {"target": frozenset()}
    assert row["parents"] == [first["row_id"]]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="", reasoning=THOUGHT),  # never closed
        Reply(text=HELPS),  # never begun
        Reply(text=HELPS, reasoning=THOUGHT, finish_reason="length"),
    ],
)
async def test_a_thought_that_is_not_closed_is_dropped(reply: Reply) -> None:
    with pytest.raises(Unparsed):
        await walk(NATIVE, [BENIGN], RoleModels(target=[reply] * 2))


@pytest.mark.parametrize(
    ("seed", "answer", "why"),
    [
        (HARMFUL, REFUSES, None),
        (HARMFUL, HELPS, "the guard says compliance"),
        (BENIGN, HELPS, None),
        (BENIGN, REFUSES, "the guard says refusal"),
        (BENIGN, LOOPS, "the guard says undetermined repetitive"),
    ],
)
async def test_refusal_rules_need_no_guard(seed: Any, answer: str, why: str | None) -> None:
    found = await judged(RULES, seed, answer)
    assert found == why or (found or "").startswith(f"{why} ")
    assert set(RULES.needs) == {"target"}


@pytest.mark.parametrize("seed", [HARMFUL, BENIGN])
@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("safe", None),
        ("unsafe\nS2", "the guard says unsafe"),
        ("safe, I think", "the guard says undetermined format"),
        (Reply(text="safe", finish_reason="length"), "the guard says undetermined cut off"),
    ],
)
async def test_a_guard_keeps_what_it_finds_safe(
    seed: Any, reply: str | Reply, why: str | None
) -> None:
    assert await judged(THINKSAFE, seed, REFUSES, guard=[reply]) == why
    assert THINKSAFE.needs == {"target": {"regex"}, "guard": frozenset()}
    assert [step.roles for step in THINKSAFE.steps if isinstance(step, Step)] == [
        ("target",),
        ("guard",),
    ]


async def test_a_guard_is_shown_the_prompt_as_it_was_and_the_whole_text() -> None:
    models = RoleModels(target=[headed(REFUSES)], guard=["safe"])
    _, [row] = await walk(THINKSAFE, [HARMFUL], models)
    _, messages, _ = models.calls[-1]
    shown = [message["content"] for message in messages]
    assert shown == [HARMFUL.prompt, f"{THOUGHT}\n\n{REFUSES}", ""]
    assert json.loads(row["payload"])["guard"]["verdict"] == "safe"


async def test_a_judge_of_refusals_is_shown_the_answer_alone() -> None:
    recipe = thinksafe(ThinkSafeOptions(guard="xstest"))
    models = RoleModels(target=[headed(REFUSES)], judge=['{"class": "full_refusal"}'])
    await walk(recipe, [HARMFUL], models)
    role, [message], _ = models.calls[-1]
    assert role == "judge"
    assert REFUSES in message["content"]
    assert THOUGHT not in message["content"]


@pytest.mark.parametrize("guard", ["nobody", "helpfulness", "strongreject"])
def test_a_guard_must_tell_of_any_prompt_what_is_kept(guard: str) -> None:
    with pytest.raises(BadInput, match="llama_guard3"):
        configured(THINKSAFE, {"guard": guard})


@pytest.mark.parametrize("seed", [HARMFUL, BENIGN])
async def test_what_the_constraints_allow_is_what_is_read(seed: Any) -> None:
    models = RoleModels(target=plausible, retries=0)
    [_, [row]] = await walk(RULES, [seed], models)
    assert row["reasoning"].startswith("The user ")
    assert row["answer"]
