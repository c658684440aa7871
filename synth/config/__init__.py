"""The configuration of the teacher's side: its schema, and reading it from YAML."""
