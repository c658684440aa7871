"""The configuration of one attack: a name, or a mapping for those that need more than one."""

from collections.abc import Set
from typing import Annotated, Any

from pydantic import Field, model_validator

from synth.config.schema import Strict
from train.evals.attacks import PLAIN, REWRITERS, TRANSFORMS

AttackName = Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,63}$")]

_NEEDS = {"persuasion": "taxonomy", "translation": "language"}


class AttackConfig(Strict):
    """An attack on every prompt of every suite, harmful and benign alike.

    Written as a name alone where nothing else is needed. Its prompts are made by a rule
    (`TRANSFORMS`), written by a model (`REWRITERS`), or read from a file of rewrites.

    Attributes:
        attack: A key of either table; with `rewrites`, a name of your own.
        name: What reports call it, where `attack` is not to be; for one rewriter used twice.
        taxonomy: For `persuasion`: JSONL, CSV or parquet with the columns `ss_technique`,
            `ss_definition` and `ss_example`.
        techniques: For `persuasion`: names from the taxonomy; its first five where empty. A
            prompt and its twin get the same one, chosen by a hash.
        language: For `translation`: a language's English name.
        rewrites: A file of ready-made rewrites, matched to prompts by their normalised text.
        columns: For `rewrites`: the file's names of `prompt` and `rewrite`.
        family: For `rewrites`: what kind of attack it is.
    """

    attack: AttackName
    name: AttackName | None = None
    taxonomy: str | None = None
    techniques: tuple[str, ...] = ()
    language: Annotated[str, Field(min_length=1)] | None = None
    rewrites: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    family: AttackName | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"attack": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _complete(self) -> "AttackConfig":
        given = self.model_dump(exclude_defaults=True, exclude={"attack", "name"}).keys()
        if self.rewrites is not None:
            self._check_file(given)
        elif self.attack in REWRITERS:
            self._check_rewriter(given)
        elif self.attack not in TRANSFORMS:
            known = ", ".join((*TRANSFORMS, *REWRITERS))
            raise ValueError(f"no attack {self.attack}; there are {known}")
        elif given or self.name is not None:
            raise ValueError(f"{self.attack} takes nothing beside its name")
        if self.called in (PLAIN, *TRANSFORMS) and self.called != self.attack:
            raise ValueError(f"{self.called} is the name of something else")
        return self

    @property
    def called(self) -> str:
        """The name that reports and records carry."""
        return self.name or self.attack

    @property
    def kind(self) -> str:
        """The family of attacks it belongs to."""
        if self.family is not None:
            return self.family
        return (TRANSFORMS | REWRITERS)[self.attack].family

    @property
    def is_rewritten(self) -> bool:
        """Whether a model or a file says how its prompts read."""
        return self.rewrites is not None or self.attack in REWRITERS

    @property
    def version(self) -> int:
        """The version of what makes its prompts; rewrites from a file are taken as they are."""
        return 1 if self.rewrites is not None else (TRANSFORMS | REWRITERS)[self.attack].version

    def _check_file(self, given: Set[str]) -> None:
        if self.attack in (PLAIN, *TRANSFORMS, *REWRITERS):
            raise ValueError(f"{self.attack} is known: give the rewrites a name of their own")
        if self.family is None or self.family == PLAIN:
            raise ValueError("rewrites need a family, such as tense")
        if not self.columns.keys() <= {"prompt", "rewrite"}:
            raise ValueError("columns of rewrites are prompt and rewrite")
        if extra := given - {"rewrites", "columns", "family"}:
            raise ValueError(f"rewrites from a file take no {', '.join(sorted(extra))}")

    def _check_rewriter(self, given: Set[str]) -> None:
        needed = _NEEDS.get(self.attack)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"{self.attack} needs a {needed}")
        allowed = {needed, "techniques"} if self.attack == "persuasion" else {needed}
        if extra := given - allowed:
            raise ValueError(f"{self.attack} takes no {', '.join(sorted(extra))}")
