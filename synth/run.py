"""What a run is made of: seeds, recipes, guideline sets and models, and its fingerprint.

The fingerprint names what changes a row's text. A run directory belongs to one; another is
refused unless the drift is accepted, with a reason that manifest and card repeat.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from guidelines import GuidelineSet, load_guidelines
from guidelines.files import MAX_FILE_BYTES
from synth import storage
from synth.config.loading import parse_yaml
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.judges.base import SAMPLE, Judge, ModelJudge
from synth.models.embedded import EMBEDDED_DIGEST
from synth.models.identity import EMBEDDED, SCRIPTED, ModelIdentity, identify
from synth.recipes import Recipe, Step, find_recipe
from synth.recipes.base import version_of
from synth.records import SCHEMA_VERSION, Seed, digest, digest_bytes
from synth.seeds.seeds import decontaminate, load_seeds, split_seeds, take
from synth.students import check_recipes
from synth.workspace.workspace import Workspace


def load_set(source: str) -> GuidelineSet:
    """Load the guideline set of a name, a local path, or a file or folder on `s3://`.

    Raises:
        BadInput: Nothing is there, or a file breaks the format.
    """
    if not storage.is_remote(source):
        return load_guidelines(source)
    source = source.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="guideweave-guidelines-") as folder:
        path = Path(folder, source.rsplit("/", 1)[-1])
        try:
            _fetch(source, path)
            return load_guidelines(str(path))
        except FileNotFoundError as error:
            rule = "must be a Markdown file, or a folder of them"
            raise BadInput(file="config", field="guidelines", value=source, rule=rule) from error
        except BadInput as error:
            file = error.file.replace(str(path), source)
            raise BadInput(
                file=file, field=error.field, value=error.value, rule=error.rule
            ) from error


def _fetch(source: str, path: Path) -> None:
    """Copy the Markdown files of `source` to `path`, none further than the loader reads it."""
    for name in _names(source):
        target = path / name if name else path
        target.parent.mkdir(parents=True, exist_ok=True)
        with storage.open_input(storage.join(source, name) if name else source) as stream:
            target.write_bytes(stream.read(MAX_FILE_BYTES + 1))


def _names(source: str) -> Iterator[str]:
    """Yield the files of a set, relative to it; the empty name stands for a file itself."""
    if source.endswith(".md"):
        yield ""
        return
    found = [
        *storage.list_files(source),
        *(f"exemplars/{name}" for name in storage.list_files(storage.join(source, "exemplars"))),
    ]
    if not found:
        raise FileNotFoundError(2, "no files", source)
    yield from (name for name in found if name.endswith(".md"))


TRAINED_ROLES = ("student", "reward")  # played by models that the run itself trains


def needed_roles(config: SynthConfig, recipes: Iterable[Recipe]) -> dict[str, ModelConfig]:
    """Return the models of all roles that the recipes call, but those that the run trains.

    Raises:
        BadInput: A recipe needs a role that the config does not fill.
    """
    called: set[str] = set()
    for recipe in recipes:
        called.update(recipe.needs)
        called.update(*(step.roles for step in recipe.steps if isinstance(step, Step)))
    return {role: model_of(config, role) for role in sorted(called.difference(TRAINED_ROLES))}


def model_of(config: SynthConfig, role: str) -> ModelConfig:
    """Return the model of a role; the target is the teacher where no other is named.

    Raises:
        BadInput: The config names none.
    """
    model = getattr(config, role, None)
    if model is None and role == "target":
        model = config.teacher
    if not isinstance(model, ModelConfig):
        rule = f"a recipe of this run needs it: give {role}.model or {role}.endpoint"
        raise BadInput(file="config", field=role, value=None, rule=rule)
    return model


CONFIG_FILE = "config.yaml"
Fingerprint = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run, ready to be planned.

    Attributes:
        config: Its configuration.
        workspace: Its plan and traces.
        recipes: By name; a user's own is called by its function's name.
        recipe_paths: Recipe name to what the config calls it.
        guidelines: Guideline sets by name.
        train: Seeds that data is made from.
        evaluation: Seeds that are only ever evaluated on.
        contaminated: Training seeds left out, to the evaluation seed they are too near.
    """

    config: SynthConfig
    workspace: Workspace
    recipes: Mapping[str, Recipe]
    recipe_paths: Mapping[str, str]
    guidelines: Mapping[str, GuidelineSet]
    train: list[Seed]
    evaluation: list[Seed]
    contaminated: Mapping[str, str]

    @property
    def evaluation_prompts(self) -> dict[str, str]:
        """What students are tested on: the users' turns of each seed, by its id."""
        return {
            seed.seed_id: "\n".join(t["content"] for t in seed.messages if t["role"] == "user")
            for seed in self.evaluation
        }


def load_run(config: SynthConfig) -> Run:
    """Load everything that `config` names; nothing is written.

    The training seeds are decontaminated here, before anything is generated from them. From
    here on this process reaches `s3://` as the run does.
    """
    storage.use(config.storage)
    found = find_recipes(config)
    sets = [load_set(source) for source in config.guidelines]
    run = Run(
        config=config,
        workspace=Workspace(config.workspace),
        recipes={recipe.name: recipe for recipe in found.values()},
        recipe_paths={recipe.name: path for path, recipe in found.items()},
        guidelines={guideline_set.name: guideline_set for guideline_set in sets},
        train=[],
        evaluation=[],
        contaminated={},
    )
    return with_seeds(run)


def with_seeds(run: Run) -> Run:
    """Return the run with the seeds that its configuration names."""
    config = run.config.seeds
    split = split_seeds(load_seeds(config), config.eval_share)
    clean, contaminated = decontaminate(split.train, split.evaluation)
    train = take(clean, config.limit)
    return replace(run, train=train, evaluation=split.evaluation, contaminated=contaminated)


def find_recipes(config: SynthConfig) -> dict[str, Recipe]:
    """Return the recipes of a run, with their options, by what the config calls them.

    Raises:
        BadInput: Two have one name, one is conditioned on guidelines and there are none, or options
            are given that no recipe of the run takes.
    """
    found = {path: find_recipe(path) for path in config.recipe}
    for recipe in found.values():
        if recipe.guided and not config.guidelines:
            raise without_guidelines(recipe.name)
    names = {recipe.name for recipe in found.values()}
    if len(names) < len(found):
        rule = "must name recipes of different names: an arm is a recipe's name"
        raise BadInput(file="config", field="recipe", value=list(config.recipe), rule=rule)
    for name in config.options:
        if name not in names:
            rule = f"must be a recipe of this run: {', '.join(sorted(names))}"
            raise BadInput(file="config", field="options", value=name, rule=rule)
    chosen = {
        path: find_recipe(path, config.options.get(recipe.name)) for path, recipe in found.items()
    }
    check_recipes(list(chosen.values()))
    return chosen


def without_guidelines(recipe: str) -> BadInput:
    """Return what is wrong where a recipe has no guideline set, and would make no item."""
    rule = f"must name at least one set: recipe {recipe} is conditioned on one"
    rule += ", which a recipe of your own can do without (guided=False)"
    return BadInput(file="config", field="guidelines", value=[], rule=rule)


def fingerprint(run: Run) -> Fingerprint:
    """Return what changes a row's text, each part by name: see the module's docstring.

    Not part of it: seeds, samples, quotas and pools, which only plan more rows, and the models
    that the run itself trains, which are part of what an item of theirs is.
    """
    parts = {
        "schema": str(SCHEMA_VERSION),
        "sampling": digest(run.config.sampling.model_dump(mode="json")),
        "format_retries": str(run.config.limits.format_retries),
    }
    roles = needed_roles(run.config, run.recipes.values())
    for role, model in {**roles, "teacher": run.config.teacher}.items():
        parts[role] = _called(model)
    for name, recipe in run.recipes.items():
        parts[f"recipe {name}"] = str(recipe.version)
        chosen = recipe.options.model_dump(mode="json", exclude=set(recipe.options.PLAN_ONLY))
        parts[f"options {name}"] = digest(chosen)
        parts[f"prompts {name}"] = digest(_prompt_files(name))
        parts |= {f"judge {judge.name}": _asked(judge) for judge in recipe.judges}
        for module in recipe.shares:
            parts |= _shared(module)
    parts |= {f"guidelines {name}": found.digest for name, found in run.guidelines.items()}
    return parts


def _called(model: ModelConfig) -> str:
    """Return a model's name and digest, without making the embedded model's folder for it."""
    if model.model == EMBEDDED and model.backend != SCRIPTED:
        return ModelIdentity(
            name=EMBEDDED, digest=EMBEDDED_DIGEST, verifiable=True, path=""
        ).model_id
    identity = identify(model)
    return identity.model_id + ("" if identity.verifiable else " (unverifiable)")


def _asked(judge: Judge) -> str:
    """Return a judge's version and, of a model, the digest of what it is asked."""
    if not isinstance(judge, ModelJudge):
        return str(judge.version)
    return f"{judge.version}@{digest(judge.max_tokens, judge.ask(SAMPLE))[:12]}"


def _shared(module: str) -> Fingerprint:
    """Return the parts of code that several recipes share: its version, and prompts if any."""
    parts = {f"code {module}": str(version_of(module))}
    name = module.rpartition(".")[2]
    if prompts := _prompt_files(name):
        parts[f"prompts {name}"] = digest(prompts)
    return parts


def open_run(run: Run, parts: Fingerprint, accept_drift: str | None = None) -> list[dict]:
    """Write `config.yaml`, after checking that the directory belongs to this fingerprint.

    Returns:
        The accepted drifts, oldest first.

    Raises:
        BadInput: The directory belongs to another fingerprint, or can not be written.
    """
    path = storage.join(run.config.run, CONFIG_FILE)
    before = read_config(run.config.run)
    drifts = list(before.get("drift", []))
    known: Fingerprint = before.get("fingerprint", {})
    differs = drifted(known, parts)
    if differs and accept_drift is None:
        raise BadInput(
            file=path,
            field="fingerprint",
            value=", ".join(differs),
            rule="differs from the rows made so far; use another run directory, or "
            '--accept-drift "why"',
        )
    if differs:
        drifts.append({"why": accept_drift, "changed": differs})
    resolved: dict[str, Any] = run.config.model_dump(mode="json")
    if run.config.traces is not None:  # who asks how the run stands may do so from anywhere
        resolved["traces"] = storage.absolute(run.config.traces)
    resolved |= {"fingerprint": {**known, **parts}, "drift": drifts}
    try:
        storage.replace(path, yaml.safe_dump(resolved, sort_keys=False).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(
            file=path, field="run", value=run.config.run, rule=f"must be writable: {reason}"
        ) from error
    return drifts


def drifted(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Return the parts that both name and that differ; a new recipe only plans more rows."""
    return sorted(name for name in before.keys() & now.keys() if before[name] != now[name])


def read_config(run: str) -> dict[str, Any]:
    """Return a run directory's `config.yaml`, empty where there is none yet.

    Raises:
        BadInput: The file is there, and no run has written it.
    """
    path = storage.join(run, CONFIG_FILE)
    try:
        found = parse_yaml(path, storage.read(path).decode(errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not isinstance(found, dict):
        raise BadInput(file=path, field="file", value=found, rule="must be a run's configuration")
    return found


def workspace_of(run: str) -> str:
    """Return the folder that holds the plan and the traces of a run directory."""
    return read_config(run).get("traces") or run


def run_digest(run: str) -> str:
    """Return the short digest that names a run's pools on a cluster."""
    return digest(storage.absolute(run))[:10]


def _prompt_files(name: str) -> dict[str, str]:
    """Return the digests of a recipe's or a module's prompts: its name begins theirs."""
    texts = (
        entry
        for entry in files("synth.prompts").iterdir()
        if entry.name.endswith((".md", ".yaml")) and entry.name.startswith((f"{name}.", f"{name}_"))
    )
    return {entry.name: digest_bytes(entry.read_bytes()) for entry in texts}
