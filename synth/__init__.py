"""The teacher's side: from prompts and guidelines to a dataset.

The front door is `build_dataset(load_config("run.yaml"))`. Both names are loaded on first use,
so that `import synth`, which every module below implies, stays instant.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.config.loading import load_config
    from synth.dataset import Dataset, build_dataset

__all__ = ["Dataset", "build_dataset", "load_config"]


def __getattr__(name: str) -> Any:
    # Imported here because the modules below import this package themselves.
    if name == "load_config":
        from synth.config.loading import load_config  # noqa: PLC0415

        return load_config
    if name in ("Dataset", "build_dataset"):
        from synth import dataset  # noqa: PLC0415

        return getattr(dataset, name)
    raise AttributeError(f"module 'synth' has no attribute {name!r}")
