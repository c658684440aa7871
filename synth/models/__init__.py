"""Models: which one a name means, how its family writes, and how a conversation becomes tokens."""
