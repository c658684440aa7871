"""R1-ACT, step by step, on scripted models."""

import json
from typing import Any

import pytest

from synth.chat.scripted import plausible
from synth.errors import BadInput, Unparsed
from synth.recipes import configured
from synth.recipes.base import Recipe, Step
from synth.recipes.r1_act import R1_ACT, STOPPING, R1ActOptions, keep, r1_act
from synth.records import Item, Reply
from tests.synth.factories import make_seed
from tests.synth.walking import RoleModels, run_step, walk

HARMFUL = make_seed("How do I open my neighbour's car?", label="harmful")
BENIGN = make_seed("How do I get a scratch out of my car?")
OPENING = "The user wants to know something about a car."
REST = "Polish comes to mind first. It has to be rubbed in, and wiped off at the end."
HELPS = "Rub the scratch in your car with polish on a soft cloth, and wipe it until it is gone."
REFUSES = "I can't help with opening a car that belongs to somebody else."
BAD = "This request is harmful because it would let a thief into somebody else's car."
FINE = "This request is harmless because polish does no harm to anybody."


def script(assessment: str) -> Any:
    """Answer by the most telling key in the regex."""
    texts = {
        "(harmful|harmless)": assessment,
        "## Answer": f"## Thought\n{OPENING} {REST}\n\n## Answer\n{HELPS}",
        "## Thought": f"## Thought\n{OPENING} {REST}",
        "can't help": REFUSES,
    }
    return lambda _, sampling: next(text for key, text in texts.items() if key in sampling.regex)


async def finished(seed: Any, assessment: str, recipe: Recipe = R1_ACT) -> dict[str, Any]:
    [_, [row]] = await walk(recipe, [seed], RoleModels(teacher=script(assessment)))
    return row


async def test_a_harmful_request_is_understood_assessed_and_declined() -> None:
    row = await finished(HARMFUL, BAD)
    assert row["reasoning"] == f"{OPENING} {BAD} {STOPPING}"
    assert row["answer"] == REFUSES
    assert keep(row) is None


async def test_any_other_goes_on_with_the_rest_and_its_answer() -> None:
    row = await finished(BENIGN, FINE)
    assert row["reasoning"] == f"{OPENING} {FINE} {REST}"
    assert row["answer"] == HELPS
    assert keep(row) is None


@pytest.mark.parametrize(("seed", "assessment"), [(HARMFUL, FINE), (BENIGN, BAD)])
async def test_an_assessment_against_the_label_is_not_kept(seed: Any, assessment: str) -> None:
    row = await finished(seed, assessment)
    assert keep(row) == "the assessment contradicts the label"


async def test_a_trace_without_an_understanding_or_with_a_tag_inside_is_not_kept() -> None:
    row = await finished(BENIGN, FINE)
    payload = json.loads(row["payload"])
    payload["sections"]["understanding"] = ""
    assert keep({**row, "payload": json.dumps(payload)}) == "no understanding"
    assert keep({**row, "answer": f"</think> {HELPS}"}) == "a think tag inside"


async def test_the_order_is_that_of_the_options_and_the_sections_are_all_there() -> None:
    recipe = r1_act(R1ActOptions(order=("assessment", "understanding")))
    row = await finished(BENIGN, FINE, recipe)
    assert row["reasoning"] == f"{FINE} {OPENING}"
    sections = json.loads(row["payload"])["sections"]
    assert sections == {"understanding": OPENING, "assessment": FINE, "condition": REST}


@pytest.mark.parametrize("order", [[], ["condition", "condition"], ["conclusion"]])
def test_an_order_names_each_section_once_at_most(order: list[str]) -> None:
    with pytest.raises(BadInput, match="order"):
        configured(R1_ACT, {"order": order})


async def test_no_harmful_answer_is_asked_for() -> None:
    models = RoleModels(teacher=script(BAD))
    await walk(R1_ACT, [HARMFUL], models)
    assert not any("## Answer" in (sampling.regex or "") for _, _, sampling in models.calls)


async def test_each_step_asks_the_role_that_the_options_name() -> None:
    recipe = r1_act(R1ActOptions(source="target", assessor="judge"))
    models = RoleModels(target=script(FINE), judge=script(FINE))
    await walk(recipe, [BENIGN], models)
    assert [role for role, _, _ in models.calls] == ["target", "judge"]
    assert [step.roles for step in recipe.steps if isinstance(step, Step)] == [
        ("target",),
        ("judge",),
    ]
    assert recipe.needs == {"target": {"regex"}, "judge": {"regex"}}


NATIVE = r1_act(R1ActOptions(source="target", native_thoughts=True))


def thought(text: str, finish_reason: str = "stop") -> Reply:
    return Reply(text=text, reasoning=f"{OPENING}\n\n{REST}", finish_reason=finish_reason)


async def test_a_model_that_thinks_by_itself_is_asked_plainly() -> None:
    models = RoleModels(target=[thought(HELPS)], teacher=script(FINE))
    [_, [row]] = await walk(NATIVE, [BENIGN], models)
    role, messages, sampling = models.calls[0]
    assert (role, messages, sampling) == ("target", BENIGN.messages, models.sampling)
    assert row["reasoning"] == f"{OPENING} {FINE} {REST}"
    assert NATIVE.needs == {"target": frozenset(), "teacher": {"regex"}}


async def test_a_cut_trace_does_where_only_its_first_sentence_is_used() -> None:
    models = RoleModels(target=[thought("", "length")], teacher=script(BAD))
    [_, [row]] = await walk(NATIVE, [HARMFUL], models)
    assert row["reasoning"] == f"{OPENING} {BAD} {STOPPING}"
    assert keep(row) is None


async def test_a_trace_that_is_cut_in_its_first_sentence_has_no_understanding() -> None:
    cut = Reply(text="", reasoning=OPENING[:-9], finish_reason="length")
    models = RoleModels(target=[cut] * 2)
    with pytest.raises(Unparsed) as caught:
        await run_step(NATIVE, 0, Item(seed=HARMFUL, recipe="r1_act"), models, None)
    assert caught.value.truncated


async def test_any_other_cut_trace_is_dropped_as_cut() -> None:
    models = RoleModels(target=[thought(HELPS, "length")] * 2)
    with pytest.raises(Unparsed) as caught:
        await run_step(NATIVE, 0, Item(seed=BENIGN, recipe="r1_act"), models, None)
    assert caught.value.truncated


async def test_an_assessment_without_a_verdict_is_none() -> None:
    models = RoleModels(teacher=script("This request is dubious because nobody can tell."))
    with pytest.raises(Unparsed):
        await walk(R1_ACT, [BENIGN], models)


@pytest.mark.parametrize("seed", [HARMFUL, BENIGN])
async def test_what_the_constraints_allow_is_what_is_read(seed: Any) -> None:
    [_, [row]] = await walk(R1_ACT, [seed], RoleModels(teacher=plausible, retries=0))
    assert all(json.loads(row["payload"])["sections"].values())
