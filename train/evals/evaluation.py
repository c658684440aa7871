"""What all models of an evaluation have in common, and where its files stand."""

from collections.abc import Sequence
from dataclasses import dataclass

from synth import storage
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.workspace.stage import MANIFEST
from train.evals.config import BASE, EvaluateConfig
from train.evals.methods import Students
from train.evals.panel import Seat
from train.evals.questions import Questions

RECORDS_FILE, RESULTS_FILE = "records.parquet", "results.json"
COMPARISON_FILE, CARD_FILE, CARD_PAGE = "comparison.json", "card.json", "card.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation, ready to be run.

    Attributes:
        config: The run.
        section: Its section of the evaluation.
        questions: What every model is asked.
        panel: Who judges.
        students: Names of each arm's evaluated students, one a training seed.
    """

    config: SynthConfig
    section: EvaluateConfig
    questions: Questions
    panel: Sequence[Seat]
    students: Students

    @property
    def folder(self) -> str:
        """Folder of everything that is about all models."""
        return storage.join(self.config.run, "evals")


def model_config(config: SynthConfig, name: str) -> ModelConfig:
    """Return where the model called `name` is: the target itself, or a student's folder.

    Raises:
        BadInput: The student is not trained.
    """
    base = config.target or config.teacher
    if name == BASE:
        return base
    folder = storage.join(config.run, "models", name)
    if not storage.exists(storage.join(folder, MANIFEST)):
        rule = f"must be {BASE}, or a student that finetune has finished"
        raise BadInput(file=folder, field="evaluate.models", value=name, rule=rule)
    return base.model_copy(update={"model": folder, "revision": None, "endpoint": None})


def model_folder(run: str, name: str) -> str:
    """Return the folder of one model's results."""
    return storage.join(run, "evals", name)
