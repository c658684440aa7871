"""The configuration of the evaluation: what is asked, how often, and what is compared."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from synth.config.schema import Limit, ModelConfig, Name, Positive, SamplingConfig, Strict
from synth.judges import JUDGES
from synth.judges.base import PREFERENCE
from synth.recipes.bestof import BeamOptions, BestOfNOptions
from train.evals.attacks import PLAIN
from train.evals.attacks.config import AttackConfig
from train.evals.records import RULES, Decoding, Scope
from train.evals.suite_formats import FORMATS

BASE = "base"

OWN_SUITES = ("seeds", "utility")  # what results call the suites that come from no file

Metric = Literal["asr", "asr_rule", "over_refusal", "discrimination"]


class _Searched(Strict):
    reward: Name
    models: tuple[Name, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The options of the search's recipe."""
        return self.model_dump(mode="json", exclude={"kind", "reward", "models"})


class BestOfNSearch(_Searched, BestOfNOptions):
    """The best of n answers, called `<model>-bon<n>` in the results.

    Attributes:
        kind: `best_of_n`.
        reward: Name of the trained reward model that chooses, such as `stair-prm`.
        models: Of the models evaluated, those that are evaluated under the search as well; empty
            for all students.
        n: See `BestOfNOptions`.
        aggregate: See there.
    """

    kind: Literal["best_of_n"]

    @property
    def suffix(self) -> str:
        """What follows the model's name."""
        return f"bon{self.n}"


class BeamSearch(_Searched, BeamOptions):
    """A beam of steps, called `<model>-beam<width>x<expand>` in the results.

    Attributes:
        kind: `beam`.
        reward: Name of the trained reward model that leads it, such as `stair-prm`.
        models: Of the models evaluated, those that are evaluated under the search as well; empty
            for all students.
        width: See `BeamOptions`.
        expand: See there.
        depth: See there.
        aggregate: See there.
    """

    kind: Literal["beam"]

    @property
    def suffix(self) -> str:
        """What follows the model's name."""
        return f"beam{self.width}x{self.expand}"


Search = Annotated[BestOfNSearch | BeamSearch, Field(discriminator="kind")]


class FaithfulnessConfig(Strict):
    """How faithful reasoning is to the guidelines it was given.

    Attributes:
        measured: Traces whose citations are counted, at most.
        traces: Traces with a citation that are made again, three times each.
        bootstrap_resamples: Resamples behind each interval.
        seed: Of the choice of traces, and of the resampling.
    """

    measured: Positive = 2_000
    traces: Annotated[int, Field(ge=0)] = 24
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0


class RepresentationConfig(Strict):
    """Where in a model harmful, helpful and attacked prompts lie.

    Attributes:
        prompts: How many in all; see `train.evals.representation.prompts`.
        layers: `all`, or the numbers of some, from 1.
        max_length: Tokens of a prompt; longer ones are left out, for all models, and counted.
        dtype: Number format that the model is read in. bfloat16 halves the memory, but the
            error of its states is a twentieth to a seventh of the spread between prompts
            (measured on the embedded model, where it is no faster either).
        batch_size: Prompts that go through the model at once; changes no result.
        folds: Of every cross-validation.
        shuffles: How often labels are shuffled for the control.
    """

    prompts: Annotated[int, Field(ge=20)] = 300
    layers: Literal["all"] | tuple[Positive, ...] = "all"
    max_length: Positive = 2048
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_size: Positive = 16
    folds: Annotated[int, Field(ge=2)] = 5
    shuffles: Annotated[int, Field(ge=5)] = 20


class SuiteConfig(Strict):
    """Prompts from a JSONL, CSV, TSV or parquet file.

    Attributes:
        name: How the report calls them.
        path: The file.
        format: Key of the table of published suites, which knows their columns and labels.
        benign: For formats whose benign prompts are a file of their own: that file.
        columns: Our name of a column to the file's, without a format.
        label: Label of every row, for files that do not say it.
        licence: For the evaluation card, where the format does not know it.
        limit: How many prompts of each label, without an attack.
    """

    name: Name
    path: str
    format: str | None = None
    benign: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    label: Literal["harmful", "benign", "borderline"] | None = None
    licence: str | None = None
    limit: Limit = Limit()

    @field_validator("name")
    @classmethod
    def _free_name(cls, name: str) -> str:
        if name in OWN_SUITES:
            raise ValueError(f"{' and '.join(OWN_SUITES)} are taken: choose another name")
        return name

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and name not in FORMATS:
            raise ValueError(f"no format {name}; there are {', '.join(FORMATS)}")
        return name

    @field_validator("benign")
    @classmethod
    def _two_files(cls, path: str | None, info: ValidationInfo) -> str | None:
        form = FORMATS.get(info.data.get("format") or "")
        if path is not None and not (form and form.file_labels):
            two = ", ".join(name for name, form in FORMATS.items() if form.file_labels)
            raise ValueError(f"only formats of two files take it: {two}")
        return path

    @field_validator("columns")
    @classmethod
    def _no_format(cls, columns: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if columns and info.data.get("format") is not None:
            raise ValueError("give either a format or columns")
        return columns


SuiteEntry = Annotated[
    Annotated[Literal["seeds"], Tag("seeds")] | Annotated[SuiteConfig, Tag("file")],
    Discriminator(lambda entry: "seeds" if isinstance(entry, str) else "file"),
]


class EvaluateSampling(SamplingConfig):
    """How answers are drawn."""

    max_tokens: Positive = 192


class JudgeConfig(Strict):
    """A judge of the answers, written as a mapping or as its name alone.

    Attributes:
        name: Key of the table of judges.
        model: What it asks; the run's `guard` or `judge` where not given.
        scopes: What it looks at: the answer, the reasoning, or both together.
    """

    name: str
    model: ModelConfig | None = None
    scopes: tuple[Scope, ...] = ("answer",)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in JUDGES:
            raise ValueError(f"no judge {name}; there are {', '.join(JUDGES)}")
        return name

    @model_validator(mode="after")
    def _fits(self) -> "JudgeConfig":
        if "answer" not in self.scopes or len(set(self.scopes)) < len(self.scopes):
            raise ValueError("scopes must hold answer, and each of them once")
        if self.name == RULES and (self.model is not None or len(self.scopes) > 1):
            raise ValueError(f"{RULES} takes no model and looks at the answer alone")
        if len(self.scopes) > 1 and tuple(JUDGES[self.name].classes) == PREFERENCE:
            raise ValueError(f"{self.name} compares answers: its scopes are answer alone")
        return self


class Comparison(Strict):
    """One question about two models, fixed before anything is generated.

    Written as a mapping, or as `discrimination: srg vs base`, or, under an attack, as
    `discrimination on rot13: srg vs base`.

    Attributes:
        metric: What is compared.
        model: The model the question is about.
        baseline: What it is compared with.
        attack: An attack's name, or `plain`.
        suite: A suite's name; the evaluation's first one where empty.
        decoding: Which answers: the sampled ones, or the one without chance.
    """

    metric: Metric
    model: str
    baseline: str = BASE
    attack: str = PLAIN
    suite: str = ""
    decoding: Decoding = "sampled"

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

    @model_validator(mode="after")
    def _two_models(self) -> "Comparison":
        if self.model == self.baseline:
            raise ValueError("model and baseline must differ")
        return self


class EvaluateConfig(Strict):
    """Everything evaluation reads.

    Attributes:
        suites: `seeds` for the half of the run's seeds kept out of training, or files.
        attacks: Names, or mappings for those that need more, none of a family that training saw.
        rewriter: Who writes the prompts of attacks that need a model; the run's `judge` where
            not given, else its `teacher`.
        limit: How many of the run's evaluation seeds of each label, without an attack.
        attack_limit: How many prompts of each label and suite, under each attack. Harmful
            prompts and their benign twins are attacked alike.
        samples: Answers a prompt.
        greedy: Whether each prompt is answered once more, without chance.
        judges: Who looks at the answers beside the refusal rules, which always do. The first
            guard's verdicts make the headline `asr`; without one it is the rules' proxy.
        utility: Whether the small suite of questions is asked beside the prompts.
        certificates: Files of `guideweave judge certify`. A judge without one is shown as
            uncertified.
        representation: Where prompts lie within the models; nobody looks where None.
        faithfulness: Whether the teachers' traces follow their guidelines; nobody looks where
            None.
        lm_eval: Tasks of lm-evaluation-harness for every model, where it is installed.
        models: `base` and arms; empty for all of them.
        search: Students that are also evaluated under test-time search, each as a further model.
        bootstrap_resamples: Resamples behind each interval and each permutation test.
        seed: Of the resampling.
        primary: The comparison fixed beforehand; None for discrimination on plain prompts
            of the last model against the first.
    """

    suites: tuple[SuiteEntry, ...] = ("seeds",)
    attacks: tuple[AttackConfig, ...] = (
        AttackConfig(attack="rot13"),
        AttackConfig(attack="past_tense"),
    )
    rewriter: ModelConfig | None = None
    limit: Limit = Limit()
    attack_limit: Limit = Limit(borderline=0)
    samples: Positive = 4
    greedy: bool = True
    judges: tuple[JudgeConfig, ...] = ()
    certificates: tuple[str, ...] = ()
    utility: bool = True
    sampling: EvaluateSampling = EvaluateSampling()
    representation: RepresentationConfig | None = None
    faithfulness: FaithfulnessConfig | None = None
    lm_eval: tuple[str, ...] = ()
    models: tuple[Name, ...] = ()
    search: Search | None = None
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0
    primary: Comparison | None = None

    @property
    def attack_names(self) -> tuple[str, ...]:
        """What results call the attacks."""
        return tuple(attack.called for attack in self.attacks)

    @field_validator("attacks")
    @classmethod
    def _distinct_attacks(cls, attacks: tuple[AttackConfig, ...]) -> tuple[AttackConfig, ...]:
        _distinct(tuple(attack.called for attack in attacks))
        return attacks

    @field_validator("suites")
    @classmethod
    def _distinct_suites(
        cls, suites: tuple[Literal["seeds"] | SuiteConfig, ...]
    ) -> tuple[Literal["seeds"] | SuiteConfig, ...]:
        _distinct(tuple("seeds" if isinstance(s, str) else s.name for s in suites))
        return suites

    @field_validator("judges")
    @classmethod
    def _distinct_judges(cls, judges: tuple[JudgeConfig, ...]) -> tuple[JudgeConfig, ...]:
        _distinct(tuple(judge.name for judge in judges))
        return judges

    @field_validator("models")
    @classmethod
    def _distinct_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct(names)

    @field_validator("search")
    @classmethod
    def _by_chance(cls, search: Search | None, info: ValidationInfo) -> Search | None:
        if search is not None and info.data["sampling"].temperature == 0:
            raise ValueError("a search needs candidates that differ: sampling.temperature is 0")
        return search

    @field_validator("primary")
    @classmethod
    def _answerable(cls, primary: Comparison | None, info: ValidationInfo) -> Comparison | None:
        if primary is None:
            return None
        if primary.decoding == "greedy" and info.data.get("greedy") is False:
            raise ValueError("there are no greedy answers to compare: greedy is false")
        if primary.suite or not info.data.get("suites"):
            return primary
        first = info.data["suites"][0]
        return primary.model_copy(update={"suite": first if isinstance(first, str) else first.name})


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("must not name the same thing twice")
    return names
