"""Preference pairs: two completions of one prompt, of which one is better, and why."""
