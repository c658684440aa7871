"""The configuration of the evaluation: what is asked, how often, and what is compared."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from synth.config import Limit, Name, Positive, SamplingConfig, Strict
from train.evals.transforms import PLAIN, TRANSFORMS

BASE = "base"

Metric = Literal["asr_rule", "over_refusal", "discrimination"]


class SuiteConfig(Strict):
    """Prompts from a JSONL, CSV or parquet file.

    Attributes:
        name: How the report calls them.
        path: The file.
        columns: Our name of a column to the file's.
        label: Label of every row, for files without such a column.
        limit: How many prompts of each label, without an attack.
    """

    name: Name
    path: str
    columns: dict[str, str] = Field(default_factory=dict)
    label: Literal["harmful", "benign", "borderline"] | None = None
    limit: Limit = Limit()


class EvaluateSampling(SamplingConfig):
    """How answers are drawn."""

    max_tokens: Positive = 192


class Comparison(Strict):
    """One question about two models, fixed before anything is generated.

    Written as a mapping, or as `discrimination: srg vs base`, or, under an attack, as
    `discrimination on rot13: srg vs base`.

    Attributes:
        metric: What is compared.
        model: The model the question is about.
        baseline: What it is compared with.
        attack: An attack's name, or `plain`.
        suite: A suite's name.
    """

    metric: Metric
    model: str
    baseline: str = BASE
    attack: str = PLAIN
    suite: str = "seeds"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        form = r"(?P<metric>\w+)(?: on (?P<attack>\w+))?: *(?P<model>\S+) vs (?P<baseline>\S+)"
        match = re.fullmatch(form, data.strip())
        if match is None:
            raise ValueError("write it as 'metric: model vs baseline'")
        return {name: text for name, text in match.groupdict().items() if text is not None}


class EvaluateConfig(Strict):
    """Everything evaluation reads.

    Attributes:
        suites: `seeds` for the half of the run's seeds kept out of training, or files.
        attacks: Names of transforms, none of a family that training saw.
        limit: How many of the run's evaluation seeds of each label, without an attack.
        attack_limit: How many prompts of each label and suite, under each attack. Harmful
            prompts and their benign twins are attacked alike.
        samples: Answers a prompt.
        models: `base` and arms; empty for all of them.
        bootstrap_resamples: Resamples behind each interval and each permutation test.
        seed: Of the resampling.
        primary: The comparison fixed beforehand; None for discrimination on plain prompts
            of the last model against the first.
    """

    suites: tuple[Literal["seeds"] | SuiteConfig, ...] = ("seeds",)
    attacks: tuple[str, ...] = ("rot13", "past_tense")
    limit: Limit = Limit()
    attack_limit: Limit = Limit(borderline=0)
    samples: Positive = 4
    sampling: EvaluateSampling = EvaluateSampling()
    models: tuple[Name, ...] = ()
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0
    primary: Comparison | None = None

    @field_validator("attacks")
    @classmethod
    def _known_attacks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - TRANSFORMS.keys())
        if unknown:
            raise ValueError(f"no attack {', '.join(unknown)}; there are {', '.join(TRANSFORMS)}")
        return _distinct(names)

    @field_validator("suites")
    @classmethod
    def _distinct_suites(
        cls, suites: tuple[Literal["seeds"] | SuiteConfig, ...]
    ) -> tuple[Literal["seeds"] | SuiteConfig, ...]:
        _distinct(tuple("seeds" if isinstance(s, str) else s.name for s in suites))
        return suites

    @field_validator("models")
    @classmethod
    def _distinct_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct(names)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("must not name the same thing twice")
    return names
