"""Faithfulness: whether reasoning that cites guidelines goes by them.

`citations` reads texts and chooses a run's traces, `counterfactual` has some of them made again
without the guideline they cite and compares, `stage` is around them.
"""
