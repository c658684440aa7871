"""One training, as it is handed to the workers."""

from dataclasses import dataclass, field

from synth.config.schema import FamilyConfig, StorageConfig
from train.config import FinetuneConfig, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One arm's training.

    Attributes:
        arm: The arm.
        arms: All arms, for the seeds or the numbers of rows they share.
        curated: Folder of the curation's manifest.
        base: Folder or hub name of the model to start from.
        revision: Commit of a hub model.
        family: Key of the model-family table, where it can not be told from the model.
        config: How it is trained.
        storage: How `s3://` is reached.
        kind: What is trained: `sft` and `dpo` train a student, `reward` a model that scores.
        training: Name of the training whose pairs `dpo` and `reward` take.
        special_tokens: Tokens that the student has or gets beside its base's own.
    """

    arm: str
    arms: tuple[str, ...]
    curated: str
    base: str
    revision: str | None
    family: str | FamilyConfig | None
    config: FinetuneConfig
    storage: StorageConfig = field(default_factory=StorageConfig)
    kind: Kind = "sft"
    training: str = ""
    special_tokens: tuple[str, ...] = ()
