"""What the report is made of: the files of a run directory, and nothing else.

Records are not among what is read here: who shows answers reads those it shows.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from synth import storage
from synth.run import read_config
from synth.status import check_is_run
from synth.workspace.stage import read_manifest
from train.evals.evaluate import COMPARISON_FILE, RESULTS_FILE

CARD_FILE = "card.json"
REPRESENTATION, FAITHFULNESS = "representation", "faithfulness"  # sections, folders and files

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """The files of one run; what is not there yet is empty.

    Attributes:
        run: Its directory.
        config: `config.yaml`.
        curated: Manifests by policy.
        models: Manifests by arm.
        evals: Manifests by evaluated model, and of the other stages among them.
        results: `results.json` by model of the last evaluation, in the order of that one.
        comparison: `comparison.json`.
        card: `card.json`.
        representation: `representation.json`.
        faithfulness: `faithfulness.json`.
        stages: Seconds by stage, from `logs/stages.json`.
    """

    run: str
    config: Json
    curated: Mapping[str, Json]
    models: Mapping[str, Json]
    evals: Mapping[str, Json]
    results: Mapping[str, Json]
    comparison: Json
    card: Json
    representation: Json
    faithfulness: Json
    stages: Mapping[str, float]


def read_run(run: str) -> RunFiles:
    """Read what `run` holds so far; what an earlier evaluation left beside the last is not read.

    Raises:
        BadInput: It is no run directory.
    """
    check_is_run(run)
    config = read_config(run)
    folder = storage.join(run, "evals")
    evals = _manifests(folder)
    names = _evaluated(folder, evals)
    section = config.get("evaluate") or {}
    looked_at = {name for name in (REPRESENTATION, FAITHFULNESS) if section.get(name) is not None}
    return RunFiles(
        run=run,
        config=config,
        curated=_manifests(storage.join(run, "curated")),
        models=_manifests(storage.join(run, "models")),
        evals={n: found for n, found in evals.items() if n in {*names, *looked_at}},
        results={n: json.loads(storage.read(storage.join(folder, n, RESULTS_FILE))) for n in names},
        comparison=_json(storage.join(folder, COMPARISON_FILE)),
        card=_json(storage.join(folder, CARD_FILE)),
        representation=_json_of(folder, REPRESENTATION, looked_at),
        faithfulness=_json_of(folder, FAITHFULNESS, looked_at),
        stages=_json(storage.join(run, "logs", "stages.json")),
    )


def _evaluated(folder: str, found: Mapping[str, Json]) -> list[str]:
    """Return the models of the last evaluation; of one that has not ended, all that are done."""
    done = [name for name in found if _exists(folder, name, RESULTS_FILE)]
    last = read_manifest(folder)
    return sorted(done) if last is None else [name for name in last["models"] if name in done]


def _exists(*parts: str) -> bool:
    return storage.exists(storage.join(*parts))


def _manifests(folder: str) -> dict[str, Json]:
    names = storage.list_folders(folder)
    found = {name: read_manifest(storage.join(folder, name)) for name in names}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def _json_of(folder: str, stage: str, looked_at: Set[str]) -> dict[str, Any]:
    return _json(storage.join(folder, f"{stage}.json")) if stage in looked_at else {}


def _json(path: str) -> dict[str, Any]:
    try:
        return json.loads(storage.read(path))
    except FileNotFoundError:
        return {}
