"""The configuration of a whole run: every package's section, composed."""

from typing import Self

from pydantic import ValidationInfo, field_validator

from synth import storage
from synth.config.schema import Positive, Strict, SynthConfig
from train.config import FinetuneConfig, Match
from train.evals.config import EvaluateConfig

TRACES = "synthesis"  # the workspace that the runs of a comparison share


class CompareConfig(Strict):
    """A comparison of the run's recipes, at an equal cost and at equal data.

    Attributes:
        tokens: What each recipe generates for the first of the two tables.
    """

    tokens: Positive


class RunConfig(SynthConfig):
    """What a run's YAML file holds.

    Attributes:
        finetune: How students are trained; a run without this section trains none.
        evaluate: What models are asked; a run without this section evaluates none.
        compare: Makes of this run two, `<run>/tokens` and `<run>/rows`, and compares the recipes
            in each: see `tables`.
    """

    finetune: FinetuneConfig | None = None
    evaluate: EvaluateConfig | None = None
    compare: CompareConfig | None = None

    @field_validator("compare")
    @classmethod
    def _can_be_compared(
        cls, compare: CompareConfig | None, info: ValidationInfo
    ) -> CompareConfig | None:
        if compare is None:
            return None
        for section in ("finetune", "evaluate"):
            if section in info.data and info.data[section] is None:
                raise ValueError(f"a comparison needs the section {section}")
        for other in ("accepted", "tokens", "traces"):
            if info.data.get(other) is not None:
                raise ValueError(f"a comparison has tokens of its own: leave out {other}")
        return compare

    @property
    def tables(self) -> dict[str, Self]:
        """The two runs of a comparison, by their table; empty without one.

        `tokens`: every recipe generates the same number of tokens, and trains on what it accepts
        of them. `rows`: from the same traces, every arm trains on as many rows as the arm with
        the fewest has. Both share one workspace, so that nothing is generated twice.
        """
        if self.compare is None or self.finetune is None:
            return {}
        shared = {"compare": None, "traces": storage.join(self.run, TRACES)}
        matches: dict[str, Match] = {"tokens": None, "rows": "rows"}
        budgets = {"tokens": self.compare.tokens, "rows": None}
        return {
            table: self.model_copy(
                update=shared
                | {
                    "run": storage.join(self.run, table),
                    "tokens": budgets[table],
                    "finetune": self.finetune.model_copy(update={"match": match}),
                }
            )
            for table, match in matches.items()
        }
