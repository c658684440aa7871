"""One training of one model: what it depends on, whether its data will do, and making it.

SFT learns from an arm's curated rows, DPO and reward models from its pairs. torch and Ray are
loaded only where a training is owed.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth import storage
from synth.config.schema import FamilyConfig, ModelConfig
from synth.digest import digest
from synth.errors import BadInput
from synth.models.identity import ModelIdentity, identify
from synth.recipes import Recipe, Train
from synth.workspace.stage import MANIFEST, Manifest, read_manifest
from train.config import FinetuneConfig
from train.job import Job
from train.pairs import read_pairs
from train.shards import choose_rows, read_split

log = logging.getLogger(__name__)

TRAINING = ".train"  # Ray Train's runs and their checkpoints, beside the models


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all arms of a run have in common.

    Attributes:
        config: How to train.
        recipes: The arms' recipes, by arm.
        curated: Folder of the curated data.
        models: Folder of the models.
        base: The target: the model that first trainings start from.
        family: Key of its family, where the config names one.
    """

    config: FinetuneConfig
    recipes: Mapping[str, Recipe]
    curated: str
    models: str
    base: ModelIdentity
    family: str | FamilyConfig | None

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms."""
        return tuple(self.recipes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One model to train.

    Attributes:
        plan: What it shares with the others.
        arm: Its arm.
        train: Which of the recipe's trainings.
        student: The model's name, and its folder's.
        config: How to train, with this model's seed.
        start: The model to start from.
    """

    plan: Plan
    arm: str
    train: Train
    student: str
    config: FinetuneConfig
    start: ModelIdentity

    @property
    def folder(self) -> str:
        """Where the model goes."""
        return storage.join(self.plan.models, self.student)

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of all that decides what the model becomes."""
        kind = self.train.kind
        together = self.config.match == "rows" or (self.config.match and kind == "sft")
        matched = self.plan.arms if together else (self.arm,)
        return {
            "finetune": digest(self.config.identity_of(kind), matched, self._tokens),
            "data": _data_digest(self),
            "target": self.start.digest,
        } | self._reference

    @property
    def _reference(self) -> dict[str, str]:
        """The digest of another model that DPO holds the student to, if there is one."""
        named = self.config.dpo.reference if self.train.kind == "dpo" else None
        return {"reference": identify(ModelConfig(model=named)).digest} if named else {}

    @property
    def _tokens(self) -> tuple[str, ...]:
        return self.plan.recipes[self.arm].special_tokens

    @property
    def run_name(self) -> str:
        """Name of its Ray Train run: equal only for trainings that come out equal."""
        return f"{self.student}-{digest(self.inputs)}"


def _data_digest(training: Training) -> str:
    """Return the digest of the shards that a training reads; later steps leave it as it is.

    Raises:
        FileNotFoundError: Curation has not finished.
    """
    manifest = read_manifest(training.plan.curated)
    if manifest is None:
        raise FileNotFoundError(f"{training.plan.curated}: curation has not finished")
    rows = [s for s in manifest["shards"] if s["path"].startswith("sft/")]
    wanted = (training.arm, training.train.name)
    pairs = [s for s in manifest["shards"] if (s.get("arm"), s.get("training")) == wanted]
    if training.train.kind == "sft":
        read = rows
    else:
        read = [*pairs, *(rows if training.config.match == "rows" else ())]
    return digest([[shard["path"], shard["sha256"]] for shard in read])


def make(training: Training) -> Manifest:
    """Train a model and return what its manifest says."""
    if not has_pairs(training) and training.config.without_data == "go_on":
        return _describe_model(training, _keep(training))
    _check_data(training)
    return _describe_model(training, _fit(training))


def has_pairs(training: Training) -> bool:
    """Say whether there are pairs to train on, for trainings that take any."""
    if training.train.kind == "sft":
        return True
    pairs = read_pairs(training.plan.curated, training.arm, training.train.name, "train")
    return len(pairs) > 0


def _keep(training: Training) -> dict[str, Any]:
    """Make the model one that is as it was before."""
    with storage.writing(training.folder) as folder:
        start = storage.local_copy(training.start.path)
        shutil.copytree(start, folder, dirs_exist_ok=True)
        Path(folder, MANIFEST).unlink(missing_ok=True)
        files = list(_describe(folder))
    log.warning("%s: no pair to train on; it stays what it was", training.student)
    none = dict.fromkeys(("rows", "heldout_rows", "left_out", "steps", "tokens"), 0)
    return {**none, "kept": "no pair to train on", "files": files}


def _fit(training: Training) -> dict[str, Any]:
    # Heavy: a driver that has nothing to train does without Ray and torch.
    from synth.cluster.joining import join_ray  # noqa: PLC0415
    from train.fit import fit  # noqa: PLC0415

    join_ray()
    plan, recipe = training.plan, training.plan.recipes[training.arm]
    job = Job(
        kind=training.train.kind,
        training=training.train.name,
        arm=training.arm,
        arms=plan.arms,
        curated=plan.curated,
        base=training.start.path,
        revision=training.start.revision,
        family=plan.family,
        special_tokens=recipe.special_tokens,
        config=training.config,
        storage=storage.settings(),
    )
    with storage.writing(training.folder) as folder:
        runs = storage.join(plan.models, TRAINING)
        outcome = fit(job, training.run_name, runs, folder)
        return {**outcome, "files": list(_describe(folder))}


def _describe_model(training: Training, outcome: Mapping[str, Any]) -> Manifest:
    return {
        "arm": training.arm,
        "training": training.train.name,
        "kind": training.train.kind,
        "seed": training.config.seed,
        "base": {"name": training.start.name, "digest": training.start.digest},
        "hyper_parameters": training.config.model_dump(mode="json"),
        **outcome,
    }


def _check_data(training: Training) -> None:
    """Refuse data that there is nothing to train on in, before anything starts."""
    if training.train.kind == "sft":
        _check_rows(training.plan)
    elif not has_pairs(training):
        rule = f"arm {training.arm} has no pair for it: no two traces of a prompt differ enough"
        raise BadInput(file=training.plan.curated, field=training.train.name, value=0, rule=rule)


def _check_rows(plan: Plan) -> None:
    """Refuse data that leaves an arm without rows, before anything starts."""
    rows = read_split(plan.curated, "train")
    chosen = choose_rows(rows, plan.arms, plan.config.match)
    empty = [arm for arm, found in chosen.items() if not len(found)]
    if not empty:
        return
    counts = {arm: len(choose_rows(rows, [arm], None)[arm]) for arm in plan.arms}
    if plan.config.match == "seeds" and all(counts.values()):
        rule = "no seed was accepted in every arm; generate more samples, or match: rows or null"
    else:
        rule = f"no training row for arm {', '.join(a for a in empty if not counts[a])}"
    raise BadInput(file=plan.curated, field="finetune.arms", value=counts, rule=rule)


def clean(training: Training) -> None:
    """Remove a model, and checkpoints of trainings that would now come out otherwise."""
    storage.remove_folder(training.folder)
    runs = storage.join(training.plan.models, TRAINING)
    for name in storage.list_folders(runs):
        if name.rpartition("-")[0] == training.student and name != training.run_name:
            storage.remove_folder(storage.join(runs, name))


def _describe(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield path, size and sha256 of a finished model's files."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for name, path in sorted(names.items()):
        if name == MANIFEST or path.is_dir():
            continue
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        yield {"path": name, "bytes": path.stat().st_size, "sha256": sha256}
