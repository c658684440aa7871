"""A recipe of two trainings and a quota, on scripted models, and models that pass for trained."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from guidelines import GuidelineSet
from synth import storage
from synth.config.schema import ModelConfig, SynthConfig
from synth.recipes.base import Before, Models, Recipe, Step, Train
from synth.recipes.pairs import Pair
from synth.records import Item, Message, Sampling, Trace, TraceRow, seed_of
from synth.students import model_folder
from synth.workspace.stage import MANIFEST, dump

WANTED = 7  # answers of each student


async def write(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """The teacher's part."""
    reply = await models.teacher(item.seed.messages, models.sampling)
    return [Trace(reasoning="as told", answer=reply.text, raw=reply.text)]


async def answer(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """The student's part."""
    reply = await models.student(item.seed.messages, models.sampling)
    return [Trace(reasoning="as learnt", answer=reply.text, raw=reply.text)]


def until_enough(before: Before) -> Iterator[Item]:
    """Three items at a time, until `WANTED` have ended."""
    ended = {row["item_id"] for row in before.rows}
    parents = sorted(before, key=lambda row: row["row_id"])
    wanted = [
        Item(
            seed=seed_of(parent),
            recipe="iterated",
            step=before.step,
            sample_index=index,
            parents=(parent["row_id"],),
        )
        for index, parent in zip(range(WANTED), cycle(parents), strict=False)
    ]
    yield from [item for item in wanted if item.item_id not in ended][:3]


def no_pairs(rows: Sequence[TraceRow]) -> list[Pair]:
    """None."""
    return []


ITERATED = Recipe(
    name="iterated",
    version=1,
    steps=(
        Step(write),
        Train(name="first", kind="sft"),
        Step(answer, items=until_enough, roles=("student",), student="first"),
        Train(name="second", kind="dpo", pairs=no_pairs),
        Step(answer, items=until_enough, roles=("student",), student="second", lease_rows=1),
        Train(name="grade", kind="reward", pairs=no_pairs),
    ),
    needs={"teacher": frozenset()},
    guided=False,
)


def pretend_trained(config: SynthConfig, name: str, version: int = 1) -> None:
    """Leave the manifest of a model; its version makes another model of it."""
    folder = model_folder(config.run, name)
    storage.remove(storage.join(folder, MANIFEST))
    Path(folder).mkdir(parents=True, exist_ok=True)
    storage.publish(storage.join(folder, MANIFEST), dump({"version": version}))


def scripted_student(config: SynthConfig, name: str) -> ModelConfig:
    """Return a scripted model that is another one for another manifest."""
    manifest = Path(model_folder(config.run, name), MANIFEST).read_text()
    script = f"tests.synth.iterated:{'again' if '2' in manifest else 'once'}"
    return ModelConfig(model="scripted", engine_args={"script": script})


def once(messages: Sequence[Message], sampling: Sampling) -> str:
    """The words of a model trained once."""
    return f"Once: {messages[-1]['content']}"


def again(messages: Sequence[Message], sampling: Sampling) -> str:
    """The words of a model trained anew."""
    return f"Again: {messages[-1]['content']}"


def by_step(rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Return the number of rows of each step."""
    steps = [row["step"] for row in rows]
    return {step: steps.count(step) for step in sorted(set(steps))}
