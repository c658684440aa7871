"""The configuration of a whole run: every package's section, composed."""

from synth.config import SynthConfig
from train.config import FinetuneConfig
from train.evals.config import EvaluateConfig


class RunConfig(SynthConfig):
    """What a run's YAML file holds.

    Attributes:
        finetune: How students are trained; a run without this section trains none.
        evaluate: What models are asked; a run without this section evaluates none.
    """

    finetune: FinetuneConfig | None = None
    evaluate: EvaluateConfig | None = None
