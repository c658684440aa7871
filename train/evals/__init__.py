"""Evaluation: what a student refuses, what it answers, and how sure the numbers are.

`suites` and `questions` build the items, `recipe` is their one step on the shared scheduler,
`score` turns answers into records, `verdicts` adds what the `panel` of judges says of them,
`summary` and `comparison` turn records into results, `evaluate` is the stage around them.
`transforms`, `metrics` and `statistics` are pure; `certify`, `utility`, `faithfulness` and
`representation` look at what answers to prompts do not show.
"""

from train.evals.ask import EVALUATE, evaluate_step
from train.evals.config import EvaluateConfig
from train.evals.evaluate import evaluate

__all__ = ["EVALUATE", "EvaluateConfig", "evaluate", "evaluate_step"]
