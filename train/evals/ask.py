"""What every model is asked: whom, which items, and the step that asks once or under a search.

An evaluation prompt x sample is an item of the one scheduler. A search draws its candidates by
chance. So the answer that an evaluation asks for "without chance" is one searched answer, too:
greedy candidates would all be the same.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from guidelines import GuidelineSet
from synth import storage
from synth.batch import Batch, RunBatch
from synth.chat import Score
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.models.families import STEP_TOKENS, ParsedText
from synth.models.identity import identify
from synth.recipes import Models, Recipe, Step, find_recipe
from synth.recipes.base import Options
from synth.recipes.bestof import BeamOptions, BestOfNOptions, SearchResult, prm_best_of_n, step_beam
from synth.recipes.surgery import parse_steps, reasoning_text, take_apart, without_marks
from synth.records import Ability, Item, Outcome, Reply, Sampling, Trace, digest
from synth.students import is_trained, model_folder, trained_model
from synth.workspace.workspace import batch_workspace
from train.evals.config import BASE, EvaluateConfig, Search
from train.evals.judge import COLUMNS
from train.evals.rewrites import make_rewrites
from train.evals.suites import (
    RECIPE,
    Suite,
    ask_prompts,
    check_lineage,
    load_suites,
    training_seed_ids,
)
from train.evals.utility import SUITE as UTILITY
from train.evals.utility import utility_items

_SCORING = "ForSequenceClassification"  # how the architectures of such models end

ROLES = ("student", "reward")

SearchFunction = Callable[..., Awaitable[SearchResult]]

_ONCE = "train.evals.ask.EVALUATE"
_SEARCHES = {
    "best_of_n": "train.evals.ask.BEST_OF_N",
    "beam": "train.evals.ask.BEAM",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """How a subject's answers are searched for.

    Attributes:
        search: The search.
        reward: Its reward model.
    """

    search: Search
    reward: ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is evaluated.

    Attributes:
        name: What results call it, and its folder.
        model: The model that answers.
        searched: How its answers are searched for; None for one that is asked once.
    """

    name: str
    model: ModelConfig
    searched: Searched | None = None

    @property
    def roles(self) -> dict[str, ModelConfig]:
        """The models that make an answer; the first one writes it."""
        if self.searched is None:
            return {"student": self.model}
        return {"student": self.model, "reward": self.searched.reward}

    @property
    def digest(self) -> str:
        """Equal for those that answer alike."""
        own = identify(self.model).digest
        if self.searched is None:
            return own
        search = self.searched.search
        return digest(own, identify(self.searched.reward).digest, search.kind, search.options)

    @property
    def description(self) -> dict[str, Any]:
        """What a manifest says of it."""
        told: dict[str, Any] = {"model": identify(self.model).model_id}
        if self.searched is not None:
            search = self.searched.search
            told["search"] = {"kind": search.kind, **search.options}
            told["reward"] = identify(self.searched.reward).model_id
        return told


def make_subjects(
    config: SynthConfig, search: Search | None, models: Mapping[str, ModelConfig]
) -> dict[str, Subject]:
    """Return who is evaluated, by name: the models, and behind them those under the search.

    Args:
        config: The run.
        search: The evaluation's search.
        models: What is evaluated by itself, by name.

    Raises:
        BadInput: A model of the search is not evaluated, or its reward model is none.
    """
    subjects = {name: Subject(name=name, model=model) for name, model in models.items()}
    if search is None:
        return subjects
    searched = Searched(search=search, reward=_reward_model(config, search.reward))
    for name, model in searched_names(search, list(models)).items():
        subjects[name] = Subject(name=name, model=models[model], searched=searched)
    return subjects


def searched_names(search: Search | None, models: Sequence[str]) -> dict[str, str]:
    """Return what models under the search are called, with the name of each model alone.

    Args:
        search: The evaluation's search.
        models: Names of the models evaluated.

    Raises:
        BadInput: It names a model that is not evaluated.
    """
    if search is None:
        return {}
    if unknown := [name for name in search.models if name not in models]:
        rule = f"must be among those evaluated: {', '.join(models)}"
        raise BadInput(file="config", field="evaluate.search.models", value=unknown[0], rule=rule)
    chosen = search.models or [name for name in models if name != BASE]
    named = {f"{name}-{search.suffix}": name for name in chosen}
    if taken := sorted(named.keys() & set(models)):
        rule = "a model under the search would be called like one without: rename its recipe"
        raise BadInput(file="config", field="evaluate.search", value=taken[0], rule=rule)
    return named


def _reward_model(config: SynthConfig, name: str) -> ModelConfig:
    folder = model_folder(config.run, name)
    if not (is_trained(config, name) and _scores(folder)):
        rule = "must be a reward model that finetune has finished"
        raise BadInput(file=folder, field="evaluate.search.reward", value=name, rule=rule)
    return trained_model(config, name).model_copy(update={"head": "score"})


def _scores(folder: str) -> bool:
    """Say whether a model folder's model gives a number."""
    told = json.loads(storage.read(storage.join(folder, "config.json")))
    return any(name.endswith(_SCORING) for name in told.get("architectures") or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The items of an evaluation.

    Attributes:
        suites: Where their prompts came from.
        items: One a suite, attack, prompt and answer.
        inexpressible: Prompts that an attack could not express, by suite and attack.
        rewrite_failures: Attacks that are rewritten, to why a prompt has no rewrite, and how often.
    """

    suites: Sequence[Suite]
    items: list[Item]
    inexpressible: Mapping[str, int]
    rewrite_failures: Mapping[str, Mapping[str, int]]

    @property
    def prompts(self) -> list[Item]:
        """The items of the suites alone, one a prompt as it is sent."""
        return [
            item
            for item in self.items
            if item.payload["suite"] != UTILITY
            and item.sample_index == 0
            and "decoding" not in item.payload
        ]


def plan_questions(config: SynthConfig, section: EvaluateConfig, run_batch: RunBatch) -> Questions:
    """Return what every model is asked, checked against the training prompts.

    Raises:
        BadInput: Something evaluated was trained on, or there is nothing to ask.
    """
    suites = load_suites(config, section)
    rewrites = make_rewrites(config, section, suites, run_batch)
    asked = ask_prompts(suites, section, rewrites.texts)
    items = asked.items
    check_lineage(suites, items, training_seed_ids(config))
    if not items:
        rule = "leaves no prompt: raise evaluate.limit, or seeds.eval_share"
        raise BadInput(file="config", field="evaluate", value=len(items), rule=rule)
    return Questions(
        suites=suites,
        items=_completed(section, items),
        inexpressible=asked.inexpressible,
        rewrite_failures=rewrites.failures,
    )


def expected_items(config: SynthConfig, section: EvaluateConfig) -> list[Item]:
    """Return what an evaluation will ask of each model, before any prompt is rewritten.

    Prompts that a model is to rewrite stand as they are, as if each of them could be.
    """
    suites = load_suites(config, section)
    rewrites = {
        attack.called: {seed.seed_id: seed.prompt for suite in suites for seed in suite.seeds}
        for attack in section.attacks
        if attack.is_rewritten
    }
    return _completed(section, ask_prompts(suites, section, rewrites).items)


def _completed(section: EvaluateConfig, items: list[Item]) -> list[Item]:
    """Return the items with the answers without chance and the questions of utility."""
    greedy = [_greedy(item) for item in items if item.sample_index == 0] if section.greedy else []
    utility = map(_greedy, utility_items()) if section.utility else []
    return [*items, *greedy, *utility]


def _greedy(item: Item) -> Item:
    return replace(item, payload={**item.payload, "decoding": "greedy"})


async def evaluate_step(
    item: Item, models: Models, guidelines: GuidelineSet | None = None
) -> list[Trace]:
    """Return the student's answer to one prompt, without any guideline.

    An item whose payload says `decoding: greedy` is answered without chance.
    """
    sampling = models.sampling
    if item.payload.get("decoding") == "greedy":
        sampling = replace(sampling, temperature=0.0, top_p=1.0, top_k=0)
    return [answer_trace(await models.student(item.seed.messages, sampling))]


def answer_trace(reply: Reply, facts: Mapping[str, Any] | None = None) -> Trace:
    """Return a student's answer as a trace; `facts` say how it was come by."""
    parts = _parts(reply)
    told = {"closed": parts.closed, "finish_reason": reply.finish_reason}
    return Trace(
        reasoning=parts.reasoning,
        answer=parts.answer,
        raw=reply.text,
        payload={**told, **(facts or {})},
        outcome=Outcome.TRUNCATED if reply.finish_reason == "length" else Outcome.OK,
    )


def _parts(reply: Reply) -> ParsedText:
    """Return the parts of `reply`, whether or not its door has split them already."""
    if not reply.reasoning and any(mark in reply.text for mark in STEP_TOKENS):
        return _split_steps(reply.text)
    return take_apart(reply)


def _split_steps(text: str) -> ParsedText:
    """Return the parts of a text in marked steps; all of it is answer where they are in disorder.

    Then nobody could say which part of it a user would not be shown.
    """
    found = parse_steps(text)
    if found is None:
        return ParsedText("", without_marks(text).strip(), closed=True)
    return ParsedText(reasoning_text(found.steps), found.answer, closed=bool(found.answer))


EVALUATE = Recipe(
    name=RECIPE,
    version=1,
    steps=(Step(evaluate_step, roles=("student",)),),
    needs={"student": frozenset()},
    guided=False,
)


async def search_step(
    item: Item,
    models: Models,
    guidelines: GuidelineSet | None,
    *,
    search: SearchFunction,
    options: Options,
) -> list[Trace]:
    """Return the answer to one prompt that a search led by the model `reward` ends with."""
    reward = cast(Score, models.reward)  # its head is a number's: both doors share an interface
    found = await search(item.seed.messages, models.student, reward, models.sampling, options)
    return [answer_trace(found.reply, found.facts)]


def best_of_n(options: BestOfNOptions) -> Recipe:
    """Return the recipe that answers by the best of n."""
    return _searching(prm_best_of_n, options, frozenset(), best_of_n)


def beam(options: BeamOptions) -> Recipe:
    """Return the recipe that answers by a beam of steps."""
    return _searching(step_beam, options, frozenset({"prefix", "keep_stop"}), beam)


def _searching(
    search: SearchFunction,
    options: Options,
    needs: frozenset[Ability],
    configure: Callable[[Any], Recipe],
) -> Recipe:
    return Recipe(
        name=RECIPE,
        version=1,
        steps=(Step(partial(search_step, search=search, options=options), roles=ROLES),),
        needs={"student": needs, "reward": frozenset()},
        guided=False,
        options=options,
        configure=configure,
    )


BEST_OF_N = best_of_n(BestOfNOptions())
BEAM = beam(BeamOptions())


def answers_batch(run: str, section: EvaluateConfig, subject: Subject, items: list[Item]) -> Batch:
    """Return what `subject` is asked.

    The answers are kept under a digest of model, search and sampling: what is interrupted
    resumes, and a student trained anew is asked anew.
    """
    searched = subject.searched
    recipe = _ONCE if searched is None else _SEARCHES[searched.search.kind]
    sampling = section.sampling.model_dump(mode="json")
    fingerprint = digest(subject.digest, sampling, find_recipe(recipe).version)
    return Batch(
        stage=f"evaluate {subject.name}",
        workspace=batch_workspace(run, f"answers-{subject.name}", fingerprint),
        parts=[items],
        recipe=recipe,
        options={} if searched is None else searched.search.options,
        models=subject.roles,
        sampling=Sampling(**section.sampling.model_dump()),
        fingerprint=fingerprint,
        columns=COLUMNS,
    )
