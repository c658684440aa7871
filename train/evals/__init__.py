"""Evaluation: what a student refuses, what it answers, and how sure the numbers are.

`suites` builds the items, `ask` puts them to a model through the shared scheduler, `judge` turns
answers into `records` and adds what the panel of judges says of them, `results` and `comparison`
turn records into numbers, `evaluate` is the stage around them. `attacks`, `metrics` and `stats` are
pure; `certify`, `utility`, `faithfulness` and `representation` look at what answers to prompts do
not show.
"""

from train.evals.ask import EVALUATE, evaluate_step
from train.evals.config import EvaluateConfig
from train.evals.evaluate import evaluate

__all__ = ["EVALUATE", "EvaluateConfig", "evaluate", "evaluate_step"]
