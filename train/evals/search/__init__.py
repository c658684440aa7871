"""Students under test-time search, evaluated beside those that are asked once."""
