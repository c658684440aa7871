"""When a stage is complete: its manifest exists and names the inputs it would have now.

A stage keeps its derived files in one folder with a `manifest.json`, published last. Its
`inputs` are named digests (own config section, manifests it read), so that a stage that has
to run again can say which of them changed.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from synth import storage
from synth.records import digest
from synth.workspace.damage import MANIFEST, read_json

log = logging.getLogger(__name__)

Manifest = dict[str, Any]
Inputs = Mapping[str, str]


def read_manifest(folder: str) -> Manifest | None:
    """Return the manifest of `folder`, or None where the stage is not complete.

    Raises:
        BadInput: It is damaged.
    """
    return read_json(storage.join(folder, MANIFEST))


def changed_inputs(folder: str, inputs: Inputs) -> list[str] | None:
    """Return the names of the inputs that differ from the manifest's; None without one."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    before: Mapping[str, str] = manifest["inputs"]
    return sorted(n for n in {*before, *inputs} if before.get(n) != inputs.get(n))


def stage(
    name: str,
    folder: str,
    inputs: Inputs,
    make: Callable[[], Manifest],
    clean: Callable[[], None],
) -> Manifest:
    """Return the manifest of a complete stage, making it first where that is owed.

    Args:
        name: For the log.
        folder: Where the manifest lives.
        inputs: Named digests of everything the stage reads.
        make: Does the work and returns what the manifest says beyond `inputs` and `seconds`.
        clean: Removes the stage's derived files; the manifest is removed before it is called.
    """
    changed = changed_inputs(folder, inputs)
    if changed == []:
        log.info("%s: complete, nothing to do", name)
        return read_manifest(folder) or {}
    if changed:
        log.info("%s: runs again, changed: %s", name, ", ".join(changed))
        storage.remove(storage.join(folder, MANIFEST))
    clean()
    started = time.monotonic()
    body = make()
    manifest = {"stage": name, "inputs": dict(inputs), **body}
    manifest["seconds"] = round(time.monotonic() - started, 1)
    storage.publish(storage.join(folder, MANIFEST), dump(manifest))
    return manifest


def dump(data: Mapping[str, Any]) -> bytes:
    """Return `data` as readable JSON bytes with sorted keys."""
    return (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def manifest_digest(folder: str) -> str:
    """Return the digest of a finished stage's manifest, less what differs between equal runs."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"{folder}: the stage before this one has not finished")
    return digest({k: v for k, v in manifest.items() if k != "seconds"})
