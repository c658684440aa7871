"""Where plans and traces stand: a run's own, and those of the batches beside it."""

from synth import storage

BATCHES = "batches"


def batch_workspace(run: str, name: str, fingerprint: str) -> str:
    """Return the folder of a batch beside a run, `<run>/batches/<name>-<fingerprint>`."""
    return storage.join(run, BATCHES, f"{name}-{fingerprint[:12]}")


def batches(run: str) -> dict[str, str]:
    """Return the workspaces of all batches beside `run`, by their names."""
    folder = storage.join(run, BATCHES)
    return {name: storage.join(folder, name) for name in storage.list_folders(folder)}
