"""Recipes side by side: what each made, what that cost, and what its student does.

Everything is a pure function of the finished runs of a comparison. `generated` counts traces and
tokens, `learnt` trainings, `answered` what the evaluation found; `runs` puts a run's recipes
together, `ranking` says whether there are prompts enough to rank them; `tables`, `page` and
`console` show it.
"""

from train.report.recipes.page import compare_recipes, recipes_tables

__all__ = ["compare_recipes", "recipes_tables"]
