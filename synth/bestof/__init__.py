"""Test-time search: several answers, or several next steps, and a reward model that chooses.

After STAIR (arXiv 2502.02384, test-time scaling): a process reward model, trained on the values of
search trees, picks the best of n answers or steers a beam of steps. Neither the reward model nor
the search is in the released code; all constants here are ours.

This is a way to answer. SRG's best of N (`any safe`) is none: it asks in hindsight whether any of N
answers was safe, and stands with the evaluation's metrics.
"""
