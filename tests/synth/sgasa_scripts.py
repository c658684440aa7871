"""Scripted models of SGASA, and how tests run its steps."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from synth.calls.metering import Meter
from synth.chat.scripted import Script, ScriptedChat, ScriptFunction
from synth.drive.rows import Provenance, trace_rows
from synth.recipes.base import Models, Recipe, Step
from synth.recipes.sgasa_asking import PerLabel, SgasaOptions
from synth.recipes.sgasa_items import ANSWERS
from synth.records import Item, Message, Reply, Sampling, Trace, digest
from tests.synth.factories import make_seed
from tests.synth.traces import HELPING, REFUSING

OPTIONS = SgasaOptions(
    examples=2,
    guidelines=2,
    guideline_tries=4,
    prompts=PerLabel(harmful=4, benign=4),
    prompt_tries=12,
    responses=3,
    sft=PerLabel(harmful=2, benign=2),
    dpo=PerLabel(harmful=1, benign=2),
)
THINKING = OPTIONS.model_copy(update={"native_thought": True})
SEEDS = [
    make_seed(f"{verb} {thing}.", label=label, category="burglary")
    for label, verb in (("harmful", "Steal"), ("benign", "Mend"))
    for thing in ("a bicycle from the yard", "the lamp in the hallway")
]
GUIDELINE = "\n".join(
    f"{part}: {'look at what is left without the role, and at who would be hurt. ' * 2}".strip()
    for part in ("Telling them apart", "Declining", "Helping")
)
PROVENANCE = Provenance(teacher="scripted", sampling="{}", fingerprint="f")


@dataclass
class Both:
    """The same chat as target and as student."""

    target: ScriptedChat
    student: ScriptedChat
    sampling: Sampling
    format_retries: int = 0


def make_models(script: Script, max_tokens: int = 400) -> Any:
    chat = ScriptedChat(script)
    return Both(chat, chat, Sampling(max_tokens=max_tokens))


def sections(decision: str, answer: str) -> str:
    thought = "On the surface and beneath, the user asks for one and the same plain thing here."
    parts = {"Request": thought, "Risk": thought, "Decision": decision, "Answer": answer}
    return "\n\n".join(f"## {name}\n{text}" for name, text in parts.items())


def well_behaved() -> ScriptFunction:
    """A model that does all it is asked; of a prompt's answers, every third is the other way."""
    number = count()

    def reply(messages: Sequence[Message], sampling: Sampling) -> str | Reply:
        asked, form = messages[-1]["content"], sampling.regex or ""
        is_harmful = "steal" in asked.lower()
        if "<guidelines>" in form:
            return f"<guidelines>{GUIDELINE}</guidelines>"
        if "<text>" in form:
            verb = "Steal" if is_harmful else "Mend"
            return f"<text>{verb} {digest(next(number))}.</text>"
        if "<Answer>" in form:
            return f"<Answer>{'harmful' if is_harmful else 'benign'}</Answer>"
        if "<score>" in form:
            return "<score>7</score>"
        if not form:  # the student
            refuses = is_harmful != (next(number) % 3 == 0)
            return Reply(
                text=REFUSING if refuses else HELPING, reasoning=f"Thought {next(number)}."
            )
        return sections("decline", REFUSING) if is_harmful else sections("help", HELPING)

    return reply


def run_step(recipe: Recipe, item: Item, models: Any) -> list[dict[str, Any]]:
    """Return the rows of one item."""
    step = recipe.steps[item.step]
    assert isinstance(step, Step)
    traces = asyncio.run(_run(step, item, models))
    return trace_rows(item, traces, Meter(), PROVENANCE, [])


async def _run(step: Step, item: Item, models: Models) -> list[Trace]:
    return await step.run(item, models, None)


def payload(row: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(row["payload"])


def answer_item(label: str, step: int = ANSWERS) -> Item:
    told = {"guideline": GUIDELINE} if step == ANSWERS else {}
    seed = make_seed("Mend a chair.", label=label)
    return Item(seed=seed, recipe="sgasa", step=step, payload=told)


def record(script: Script, asked: list[tuple[Sequence[Message], Sampling]]) -> Any:
    replies = ScriptedChat(script)

    async def reply(messages: Sequence[Message], sampling: Sampling) -> Reply:
        asked.append((messages, sampling))
        return await replies(messages, sampling)

    return make_models(reply, max_tokens=300)


_behaved = well_behaved()


def behaved(messages: Sequence[Message], sampling: Sampling) -> Any:
    """The well-behaved model, for workers that import it by name."""
    return _behaved(messages, sampling)
