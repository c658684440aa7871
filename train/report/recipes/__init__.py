"""Recipes side by side: what each made, what that cost, and what its student does.

Everything is a pure function of the finished runs of a comparison. `counts` counts traces, tokens
and trainings, `answers` what the evaluation found, and whether there are prompts enough to rank
recipes by it; `runs` puts a run's recipes together, `page` shows them.
"""

from train.report.recipes.page import compare_recipes, recipes_tables

__all__ = ["compare_recipes", "recipes_tables"]
