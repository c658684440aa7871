"""Trees over reasoning steps: their data, their search, and what rates an answer."""
