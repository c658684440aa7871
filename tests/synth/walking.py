"""A recipe walked through step by step on scripted chats, without a scheduler."""

import asyncio
from collections.abc import Sequence
from typing import Any

from guidelines import GuidelineSet
from synth.calls.metering import Meter
from synth.chat.scripted import Script, ScriptedChat, ScriptFunction, Written
from synth.drive.rows import Provenance, Row, trace_rows
from synth.recipes.base import Before, Recipe, Step
from synth.records import Item, Message, Sampling, Seed

Call = tuple[str, list[Message], Sampling]  # role, messages, sampling
_NOBODY = Provenance(teacher="scripted", sampling="{}", fingerprint="none")


class RoleModels:
    """One scripted chat a role; a role without a script is no model of the run.

    Attributes:
        calls: All calls so far, in their order.
    """

    def __init__(self, *, max_tokens: int = 400, retries: int = 1, **scripts: Script) -> None:
        self.sampling = Sampling(temperature=0.7, max_tokens=max_tokens)
        self.format_retries = retries
        self.calls: list[Call] = []
        self._chats = {
            role: ScriptedChat(self._noting(role, ScriptedChat(script)))
            for role, script in scripts.items()
        }

    def __getattr__(self, role: str) -> ScriptedChat:
        if role.startswith("_") or role not in self._chats:
            raise AttributeError(role)
        return self._chats[role]

    def _noting(self, role: str, chat: ScriptedChat) -> ScriptFunction:
        async def note(messages: Sequence[Message], sampling: Sampling) -> Written:
            self.calls.append((role, list(messages), sampling))
            return await chat(messages, sampling)

        return note


async def run_step(
    recipe: Recipe, index: int, item: Item, models: RoleModels, guidelines: GuidelineSet | None
) -> list[Row]:
    """Run one item; return the rows that a runner would make of its traces."""
    step = recipe.steps[index]
    assert isinstance(step, Step)
    traces = await step.run(item, models, guidelines)
    return trace_rows(item, traces, Meter(), _NOBODY, ())


async def walk(
    recipe: Recipe,
    seeds: Sequence[Seed],
    models: RoleModels,
    guidelines: GuidelineSet | None = None,
) -> list[list[Row]]:
    """Run all steps over the seeds, one sample each; return the rows of every step."""
    name = guidelines.name if guidelines else ""
    items = [Item(seed=seed, recipe=recipe.name, guidelines=name) for seed in seeds]
    rows: list[list[dict[str, Any]]] = []
    for index, step in enumerate(recipe.steps):
        assert isinstance(step, Step)
        if step.items is not None:
            flat = sorted((row for made in rows for row in made), key=lambda row: row["row_id"])
            items = list(step.items(Before(step=index, rows=flat, seeds=seeds)))
        done = [run_step(recipe, index, item, models, guidelines) for item in items]
        rows.append([row for made in await asyncio.gather(*done) for row in made])
    return rows
