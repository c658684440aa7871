"""Evaluation: what a student refuses, what it answers, and how sure the numbers are.

`suites` builds the items, `recipe` is their one step on the shared scheduler, `score` turns
generations into records, `summary` and `comparison` turn records into results, `evaluate`
is the stage around them. `transforms`, `metrics` and `statistics` are pure.
"""

from train.evals.config import EvaluateConfig
from train.evals.evaluate import Generate, evaluate
from train.evals.recipe import EVALUATE, evaluate_step

__all__ = ["EVALUATE", "EvaluateConfig", "Generate", "evaluate", "evaluate_step"]
