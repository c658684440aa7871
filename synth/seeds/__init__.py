"""Seeds: the prompts a run starts from, read from files, split, and kept apart from each other."""
