"""Surgery on traces: taking texts apart into sentences, steps and sections, and joining them."""
