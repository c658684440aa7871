"""The stage around training: every model that a run's recipes train, each in a folder of its own.

An arm is trained as its recipe says, one training after the other: SFT on the arm's curated rows,
DPO and reward models on its pairs. Where steps follow a training, they have to run before the next
one can. torch and Ray are loaded only where a training is owed.
"""

import builtins
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from synth import storage
from synth.config.schema import FamilyConfig, ModelConfig, SynthConfig
from synth.curate import curated_folder
from synth.curate.shards import Split
from synth.errors import BadInput
from synth.models.identity import ModelIdentity, identify
from synth.recipes import Recipe, Train
from synth.records import digest
from synth.run import find_recipes
from synth.students import has_later_steps, own_training, start_of, student_name, trainings
from synth.workspace.stage import MANIFEST, Manifest, changed_inputs, read_manifest, stage
from train.config import FinetuneConfig
from train.data import Chosen, count_rows, pair_shards
from train.encode import ShardRows, TrainingJob, Unfit, choose_rows

log = logging.getLogger(__name__)

TRAINING = ".train"  # Ray Train's runs and their checkpoints, beside the models


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
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

    @cached_property
    def chosen(self) -> dict[Split, dict[str, Chosen]]:
        """The rows that `sft` trains each arm on, by split: found out once for all trainings.

        Raises:
            BadInput: An arm has none, or a shard is not what the manifest lists.
        """
        jobs = {arm: self.job(arm) for arm in self.arms}
        splits: tuple[Split, ...] = ("train", "heldout")
        return {split: choose_rows(jobs, split, _over_shards) for split in splits}

    def job(self, arm: str) -> TrainingJob:
        """Return the first training of an arm, which starts from the target."""
        return TrainingJob(
            arm=arm,
            arms=self.arms,
            curated=self.curated,
            base=self.base.path,
            revision=self.base.revision,
            family=self.family,
            special_tokens=self.recipes[arm].special_tokens,
            config=self.config,
            storage=storage.settings(),
        )


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

    plan: TrainingPlan
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
        tokens = self.plan.recipes[self.arm].special_tokens
        beside = self._tokens_beside(matched) if kind == "sft" else ()
        return {
            "finetune": digest(self.config.identity_of(kind), matched, tokens, *beside),
            "data": _data_digest(self),
            "target": self.start.digest,
        } | self._reference

    @property
    def _reference(self) -> dict[str, str]:
        """The digest of another model that DPO holds the student to, if there is one."""
        named = self.config.dpo.reference if self.train.kind == "dpo" else None
        return {"reference": identify(ModelConfig(model=named)).digest} if named else {}

    def _tokens_beside(self, arms: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
        """Return other arms that have tokens: these decide what of their rows is too long."""
        tokens = {arm: self.plan.recipes[arm].special_tokens for arm in arms if arm != self.arm}
        return [(arm, own) for arm, own in tokens.items() if own]

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
    return _describe_model(training, _fit(training))


def has_pairs(training: Training) -> bool:
    """Say whether there are pairs to train on, for trainings that take any."""
    if training.train.kind == "sft":
        return True
    shards = pair_shards(training.plan.curated, training.arm, training.train.name, "train")
    return any(shard["rows"] for shard in shards)


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
    job = _make_job(training)
    # Heavy: a driver that has nothing to train does without Ray and torch.
    from synth.cluster.joining import join_ray  # noqa: PLC0415
    from train.fit import fit  # noqa: PLC0415

    join_ray()
    with storage.writing(training.folder) as folder:
        runs = storage.join(training.plan.models, TRAINING)
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


def _make_job(training: Training) -> TrainingJob:
    """Return what the workers are handed; data without anything to train on are refused."""
    plan, train = training.plan, training.train
    job = replace(
        plan.job(training.arm),
        kind=train.kind,
        training=train.name,
        base=training.start.path,
        revision=training.start.revision,
        config=training.config,
    )
    if train.kind == "sft":
        return replace(job, chosen={split: of[job.arm] for split, of in plan.chosen.items()})
    if not has_pairs(training):
        rule = f"arm {job.arm} has no pair for it: no two traces of a prompt differ enough"
        raise BadInput(file=plan.curated, field=train.name, value=0, rule=rule)
    return job


def _over_shards(
    function: Callable[[ShardRows], Unfit], shards: Iterable[ShardRows]
) -> Iterator[Unfit]:
    """Map over shards: a single one is looked through sooner here than a process starts."""
    several = list(shards)
    if len(several) < 2:
        yield from builtins.map(function, several)
        return
    from synth.cluster.joining import join_ray, ray_map  # noqa: PLC0415 (heavy: Ray)

    join_ray()
    yield from ray_map(function, several)


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


class Finetuned(NamedTuple):
    """What fine-tuning has come to.

    Attributes:
        manifests: Of every finished model of the run, by its name.
        waiting: Arms that have a new model whose steps can run now.
    """

    manifests: dict[str, Manifest]
    waiting: tuple[str, ...]


def finetune(
    config: SynthConfig,
    finetune: FinetuneConfig,
    model_path: str | None = None,
    due: Mapping[str, int] | None = None,
) -> Finetuned:
    """Train every model that is owed and whose data are there.

    A model that is complete is left alone. A training that was killed, with its workers or with
    this process, goes on from its last checkpoint.

    Args:
        config: The run's configuration; its data must be curated.
        finetune: How to train.
        model_path: Folder of the model to start from; where not given, that of the target,
            or else of the teacher.
        due: Of arms whose steps have not all run, the first that is due: trainings after it
            wait.

    Returns:
        Each model's manifest; the models are in `<run>/models/<name>`. The last student of an
        arm is called like the arm, those before it `<arm>-<training>`, those of further seeds
        `<arm>-seed<seed>`: these differ in the last training, for the recipe's steps have sampled
        from one model of each training before.

    Raises:
        BadInput: The arms share no seed, there is no pair, or rows or model can not be trained
            on.
        RunFault: The workers failed more often than `max_failures`.
        FileNotFoundError: Curation has not finished.
    """
    plan = _plan(config, finetune, model_path)
    manifests: dict[str, Manifest] = {}
    waiting = [
        arm
        for arm, recipe in plan.recipes.items()
        if not _train_arm(plan, arm, recipe, (due or {}).get(arm), manifests)
    ]
    return Finetuned(manifests, tuple(waiting))


def named_arms(config: SynthConfig, finetune: FinetuneConfig) -> tuple[str, ...]:
    """Return the arms that the configuration names, or else those of all its recipes."""
    return finetune.arms or tuple(recipe.name for recipe in find_recipes(config).values())


def arms_to_train(config: SynthConfig, finetune: FinetuneConfig) -> tuple[str, ...]:
    """Return the arms that are to have a student.

    Where trainings go on without data these are the arms that have a row, unless none has: then
    there is nothing to go on with.

    Raises:
        BadInput: The curation's manifest is one of an earlier version.
        FileNotFoundError: Curation has not finished, and who has rows is to be known.
    """
    arms = named_arms(config, finetune)
    if finetune.without_data == "refuse":
        return arms
    having = count_rows(curated_folder(config), "train")
    for arm in arms:
        if arm not in having:
            log.warning("%s: no row to train it on; it is left out", arm)
    return tuple(arm for arm in arms if arm in having) or arms


def _train_arm(
    plan: TrainingPlan, arm: str, recipe: Recipe, due: int | None, manifests: dict[str, Manifest]
) -> bool:
    """Train an arm's models as far as its data go; return whether that changes none for a step."""
    for train in trainings(recipe):
        if due is not None and train in recipe.steps and recipe.steps.index(train) > due:
            log.info("%s: training %s waits for step %d", arm, train.name, due)
            return True
        fresh = False
        for training in _models_of(plan, arm, recipe, train):
            if _goes_without(training):
                log.warning("%s: no pair to train it on; it is left out", training.student)
                continue
            asked = training.student == student_name(recipe, train.name)
            if asked and changed_inputs(training.folder, training.inputs) != []:
                fresh = True
                _disown_later(plan, recipe, train)
            manifests[training.student] = _ensure(training)
        if fresh and has_later_steps(recipe, train.name):
            return False
    return True


def _disown_later(plan: TrainingPlan, recipe: Recipe, train: Train) -> None:
    """Take back what says that later models are finished: they follow from one that changes.

    Otherwise their steps would sample from them once more before they are trained anew.
    """
    all_of_them = trainings(recipe)
    for later in all_of_them[all_of_them.index(train) + 1 :]:
        name = student_name(recipe, later.name)
        storage.remove(storage.join(plan.models, name, MANIFEST))


def _goes_without(training: Training) -> bool:
    """Say whether a reward model is left out for want of pairs."""
    kept = training.train.kind == "reward" and training.config.without_data == "go_on"
    return kept and not has_pairs(training)


def _models_of(plan: TrainingPlan, arm: str, recipe: Recipe, train: Train) -> Iterator[Training]:
    """Yield the models of one training: one, or one a seed where it is the arm's own."""
    seeds = {student_name(recipe, train.name): plan.config.seed}
    if train == own_training(recipe):
        seeds = plan.config.students(arm)
    before = start_of(recipe, train)
    start = plan.base
    if before is not None:
        folder = storage.join(plan.models, student_name(recipe, before))
        start = identify(ModelConfig(model=folder))
    for student, seed in seeds.items():
        yield Training(
            plan=plan,
            arm=arm,
            train=train,
            student=student,
            config=plan.config.model_copy(update={"seed": seed}),
            start=start,
        )


def _ensure(training: Training) -> Manifest:
    manifest = stage(
        f"finetune {training.student}",
        training.folder,
        training.inputs,
        make=partial(make, training),
        clean=partial(clean, training),
    )
    storage.remove_folder(storage.join(training.plan.models, TRAINING, training.run_name))
    return manifest


def _plan(config: SynthConfig, finetune: FinetuneConfig, model_path: str | None) -> TrainingPlan:
    storage.use(config.storage)
    # Ray Train changes its workers' directory: every path has to be absolute.
    run = storage.absolute(config.run)
    model = config.target or config.teacher
    if model_path is not None:
        model = ModelConfig(model=model_path, family=model.family)
    base = identify(model)
    if not base.path:
        raise BadInput(
            file="config",
            field="target",
            value=base.name,
            rule="must be a model folder or a hub name: nothing else can be fine-tuned",
        )
    config = config.model_copy(update={"run": run})
    recipes = {recipe.name: recipe for recipe in find_recipes(config).values()}
    return TrainingPlan(
        config=finetune,
        recipes={arm: recipes[arm] for arm in arms_to_train(config, finetune)},
        curated=curated_folder(config),
        models=storage.join(run, "models"),
        base=base,
        family=model.family,
    )
