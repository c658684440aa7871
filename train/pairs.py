"""Reading the pairs of a training out of the curated data."""

import pyarrow as pa

from synth.curate import PREFERENCE
from synth.curate.shards import Split
from train.shards import listed, read_shards


def read_pairs(curated: str, arm: str, training: str, split: Split) -> pa.Table:
    """Return the pairs of an arm's training, in the order of `row_id`.

    Args:
        curated: Folder of the curation's manifest.
        arm: The arm.
        training: Name of the training, as in the arm's recipe.
        split: Pairs to train on, or pairs kept out of training.

    Raises:
        BadInput: A shard is not the file that the manifest lists.
        FileNotFoundError: Curation has not finished.
    """
    wanted = {"arm": arm, "training": training, "split": split}
    entries = (s for s in listed(curated) if wanted.items() <= s.items())
    return read_shards(curated, entries, PREFERENCE).sort_by("row_id")


def paired_seed_ids(curated: str) -> list[str]:
    """Return the seeds of all pairs to train on, of every arm and training."""
    entries = (s for s in listed(curated) if s.get("training") and s["split"] == "train")
    return read_shards(curated, entries, PREFERENCE)["seed_id"].to_pylist()
