"""Judges: what is to be said of a finished text, never of how it was made."""
