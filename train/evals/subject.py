"""Who is evaluated: a model by itself, or one under test-time search."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth import storage
from synth.config.schema import ModelConfig, SynthConfig
from synth.digest import digest
from synth.errors import BadInput
from synth.models.identity import identify
from synth.students import is_trained, model_folder, trained_model
from train.evals.config import BASE
from train.evals.search_config import Search

_SCORING = "ForSequenceClassification"  # how the architectures of such models end


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
