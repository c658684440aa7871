"""A run's plan, traces and manifests as files: what is planned, what is done, what is complete."""
