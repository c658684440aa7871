"""What the scheduler bench runs: scripts that take their time, and recipes of one and two calls."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from guidelines import GuidelineSet
from synth.config.schema import Limits, ModelConfig, Replicas, SamplingConfig, SynthConfig
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Message, Sampling, Seed, Trace, digest
from tests.bench.flights import in_flight
from tests.bench.recipes import ONE_CALL

MEAN_S = {"teacher": 1.0, "judge": 0.3}
SIGMA = 1.0  # of the latency's logarithm
_MU = -(SIGMA**2) / 2  # so that the mean is one
_REPLICAS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One measurement.

    Attributes:
        rows: Rows, each with a prompt of its own.
        calls: Calls that may be in flight to a pool at once.
        pools: The pools that a row calls, one after the other.
        workers: Recipe workers; None takes as many as a run does by default.
    """

    rows: int = 4_000
    calls: int = 256
    pools: tuple[str, ...] = ("teacher",)
    workers: int | None = None


def latency_s(pool: str, text: str) -> float:
    """Return what a pool takes over a prompt: log-normal, the same for the same text."""
    return MEAN_S[pool] * Random(digest(pool, text)).lognormvariate(_MU, SIGMA)


async def teacher(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer as the slower pool does."""
    return await _answer("teacher", messages)


async def judge(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer as the faster pool does."""
    return await _answer("judge", messages)


async def _answer(pool: str, messages: Sequence[Message]) -> str:
    with in_flight(pool):
        await asyncio.sleep(latency_s(pool, messages[-1]["content"]))
    return "It is about a thing that people ask, and the answer helps them decide."


async def two_calls(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """Ask the teacher, then the judge."""
    written = await models.teacher(item.seed.messages, models.sampling)
    judged = await models.judge(item.seed.messages, models.sampling)
    return [Trace(reasoning=judged.text, answer=written.text, raw=written.text)]


TWO_CALLS = Recipe(
    name="two_calls",
    version=1,
    steps=(Step(two_calls),),
    needs={"teacher": frozenset(), "judge": frozenset()},
    format="answer",
    guided=False,
)


def recipe_path(load: Load) -> str:
    """Return where workers find the recipe that calls the load's pools."""
    if load.pools == tuple(MEAN_S):
        return f"{__name__}.TWO_CALLS"
    return "tests.bench.recipes.ONE_CALL"


def prompt(number: int) -> str:
    """Return the prompt of a row."""
    return f"Explain in a few plain sentences what question number {number} is about."


def make_items(load: Load) -> list[Item]:
    """Return one item a prompt."""
    name = (TWO_CALLS if load.pools == tuple(MEAN_S) else ONE_CALL).name
    return [Item(seed=_seed(prompt(number)), recipe=name) for number in range(load.rows)]


def make_config(load: Load, run: str) -> SynthConfig:
    """Return the run's configuration: every pool two replicas of the scripted chat."""
    models = {pool: _model(pool, load) for pool in load.pools}
    return SynthConfig(
        run=run,
        recipe=(recipe_path(load),),
        guidelines=(),
        sampling=SamplingConfig(max_tokens=64),
        limits=Limits(workers=load.workers),
        teacher=models["teacher"],
        judge=models.get("judge"),
    )


def _model(pool: str, load: Load) -> ModelConfig:
    args = {"script": f"{__name__}:{pool}", "max_num_seqs": -(-load.calls // _REPLICAS)}
    return ModelConfig(
        model="scripted",
        backend="scripted",
        replicas=Replicas(min=_REPLICAS, max=_REPLICAS),
        engine_args=args,
    )


def _seed(text: str) -> Seed:
    return Seed(
        seed_id=digest([], text), prompt=text, label="benign", category="bench", source="bench"
    )
