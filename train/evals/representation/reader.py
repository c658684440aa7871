"""Reading a model's hidden states on a Ray actor, one model at a time, every wait with an end.

A leaf: imports Ray; the actor's process imports torch and transformers.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError

from synth import storage
from synth.cluster.room import LOOK_S, Watch, section_demand
from synth.config.schema import Limits, Resources, StorageConfig
from synth.errors import BadInput, RunFault
from train.evals.config import RepresentationConfig
from train.evals.representation.prompts import Probe
from train.evals.representation.states import States, to_span

log = logging.getLogger(__name__)

_ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The model to read.

    Attributes:
        path: Folder, local or on `s3://`, or hub name.
        revision: Commit of a hub model.
        dtype: Its number format.
        resources: What its process takes from the cluster.
        role: Where the configuration says so.
        storage: How `s3://` is reached.
    """

    path: str
    revision: str | None
    dtype: str
    resources: Resources
    role: str
    storage: StorageConfig


class ReaderActor:
    """A process with one model.

    What is wrong with the input is returned: raised in an actor, it would arrive as another type.
    """

    def load(self, source: Source) -> BadInput | None:
        """Load the model."""
        # Heavy, and needed in this process alone.
        from train.evals.representation.hidden import HiddenStates  # noqa: PLC0415

        storage.use(source.storage)
        num_gpus = source.resources.num_gpus
        try:
            path = storage.local_copy(source.path)
            self._model = HiddenStates(path, source.revision, source.dtype, num_gpus)
        except BadInput as error:
            return error
        return None

    def encode(self, probes: Sequence[Probe], max_length: int) -> list[list[int] | str]:
        """Return each prompt's tokens, or why there are none."""
        return [self._model.encode(probe.messages, max_length) for probe in probes]

    def read(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the states of a batch."""
        return self._model.read(prompts)


def read_model(
    source: Source,
    probes: Sequence[Probe],
    section: RepresentationConfig,
    limits: Limits,
) -> States:
    """Read the states of `probes`; Ray is joined already.

    Args:
        source: The model.
        probes: The prompts.
        section: How they are read.
        limits: The model must be there within `start_timeout_s`, each batch be read within
            `call_timeout_s`.

    Raises:
        BadInput: The model can not be loaded, has no such layer, or the cluster no room for it.
        RunFault: The actor died, or a deadline passed.
    """
    resources = source.resources
    remote: Any = ray.remote(ReaderActor).options(
        num_cpus=resources.num_cpus,
        num_gpus=resources.num_gpus,
        label_selector=resources.labels or None,
        runtime_env={"env_vars": _ENVIRONMENT},
        max_restarts=0,
    )
    actor = remote.remote()
    watch = Watch([section_demand(source.role, resources, 1, "replicas.min")])
    try:
        problem = _wait(actor.load.remote(source), limits.start_timeout_s, "loading", watch)
        if problem is not None:
            raise problem
        asked = actor.encode.remote(probes, section.max_length)
        encoded = _wait(asked, limits.call_timeout_s, "encoding")
        return _read_all(actor, probes, encoded, section, limits.call_timeout_s)
    finally:
        ray.kill(actor)


def _read_all(
    actor: Any,
    probes: Sequence[Probe],
    encoded: Sequence[list[int] | str],
    section: RepresentationConfig,
    timeout_s: float,
) -> States:
    ids = {p.probe_id: e for p, e in zip(probes, encoded, strict=True) if isinstance(e, list)}
    # Of like lengths, so that little is filled up; the longest first, where memory would fail.
    order = sorted(ids, key=lambda probe_id: (-len(ids[probe_id]), probe_id))
    batches = []
    for start in range(0, len(order), section.batch_size):
        batch = [ids[probe_id] for probe_id in order[start : start + section.batch_size]]
        batches.append(_wait(actor.read.remote(batch), timeout_s, "a batch"))
        log.debug("read %d of %d prompts", start + len(batch), len(order))
    values = np.concatenate(batches)
    layers = _layers(section, values.shape[1])
    return States(
        probe_ids=order,
        layers=layers,
        values=to_span(values[:, [layer - 1 for layer in layers]]),
        left_out={
            p.probe_id: e for p, e in zip(probes, encoded, strict=True) if isinstance(e, str)
        },
    )


def _layers(section: RepresentationConfig, num_layers: int) -> list[int]:
    if section.layers == "all":
        return list(range(1, num_layers + 1))
    chosen = sorted(set(section.layers))
    if chosen[-1] > num_layers:
        rule = f"must be numbers from 1 to {num_layers}"
        field = "evaluate.representation.layers"
        raise BadInput(file="config", field=field, value=chosen, rule=rule)
    return chosen


def _wait(ref: Any, timeout_s: float, what: str, watch: Watch | None = None) -> Any:
    """Return what an actor's call returns."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        ready, _ = ray.wait([ref], timeout=min(LOOK_S, max(0, end - time.monotonic())))
        if ready:
            break
        if watch is not None:
            watch.look()
    else:
        raise RunFault(f"representation: {what} took longer than {timeout_s:g} s")
    try:
        return ray.get(ref)
    except RayError as error:
        raise RunFault(f"representation: {what} failed: {error}") from error
