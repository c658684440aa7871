"""Thin entry points, one a verb: they parse, call and print; the packages below do the work."""
