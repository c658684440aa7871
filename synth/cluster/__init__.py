"""The Ray cluster: joining it, what fits on it, and what its monitoring sees of a run."""
