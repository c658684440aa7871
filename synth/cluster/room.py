"""Whether a cluster can ever hold what a run asks for, so that it says so and does not wait.

A request that no node and no node type can hold stays pending for ever, without an error. What
nodes there are, and what the autoscaler has found infeasible, stands in one answer of Ray's
control store; nodes that are merely busy, or not up yet, are worth waiting for.
A leaf: imports Ray, also an internal part of it, for the public status leaves infeasible
requests out.
"""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import ray
from ray._raylet import GcsClient  # pyrefly: ignore[missing-module-attribute]
from ray.core.generated import autoscaler_pb2
from ray.exceptions import RpcError

from synth.config.schema import Labels, ModelConfig, Resources
from synth.errors import BadInput

PATIENCE_S = 20.0  # a cluster may still be coming up
LOOK_S = 2.0
_RPC_S = 10.0
_FIT = 1e-6  # resources are floats
_ALTERNATIVES = re.compile(r"(!?)(?:in)?\(?([^()]*)\)?")
_MESSAGES: Any = autoscaler_pb2  # made at import time
log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a run needs from the cluster at least.

    Attributes:
        bundle: What one process takes, by Ray's names.
        labels: Of the nodes it may run on.
        count: Processes at once.
        fields: Where the configuration asks for it: a resource's name, `labels` or `count` to
            a field.
    """

    bundle: Mapping[str, float]
    labels: Labels = field(default_factory=dict)
    count: int = 1
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What a cluster has.

    Attributes:
        nodes: Resources and labels of every living node, busy or not.
        grows: It has an autoscaler.
        infeasible: Pending bundles that the autoscaler can start no node for.
    """

    nodes: Sequence[tuple[Mapping[str, float], Labels]]
    grows: bool
    infeasible: Sequence[Mapping[str, float]] = ()


def section_demand(section: str, resources: Resources, count: int, counted_by: str) -> Demand:
    """Return what `count` processes of a section of the configuration need."""
    names = {"CPU": "resources.num_cpus", "GPU": "resources.num_gpus"}
    names |= {"labels": "resources.labels", "count": counted_by}
    bundle = {"CPU": resources.num_cpus, "GPU": resources.num_gpus}
    return Demand(
        bundle={name: amount for name, amount in bundle.items() if amount},
        labels=resources.labels,
        count=count,
        fields={name: f"{section}.{field}" for name, field in names.items()},
    )


def replicas_demand(roles: Sequence[str], model: ModelConfig) -> Demand:
    """Return what the pool of `roles` needs before it can open; each of them may have asked."""
    count = max(1, model.replicas.min)
    asked = [section_demand(role, model.resources, count, "replicas.min") for role in roles]
    fields = {name: ", ".join(each.fields[name] for each in asked) for name in asked[0].fields}
    return replace(asked[0], fields=fields)


class Watch:
    """Looks at a cluster until it has what was asked for.

    Args:
        demands: What was asked for.
    """

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._owed = list(demands)
        self._hopeless_since: dict[int, float] = {}

    def look(self) -> None:
        """Look once.

        Raises:
            BadInput: For `PATIENCE_S` there was no node, and no type of node, for a demand.
        """
        if not self._owed:
            return
        try:
            room = read_room()
        except RpcError as error:
            log.warning("the cluster did not say what it has: %s", error)
            return
        self._owed = [wanted for wanted in self._owed if count_held(wanted, room) < wanted.count]
        now = time.monotonic()
        for wanted in self._owed:
            why = hopeless(wanted, room)
            if why is None:
                self._hopeless_since.pop(id(wanted), None)
            elif now - self._hopeless_since.setdefault(id(wanted), now) > PATIENCE_S:
                raise why


async def unless_hopeless(waiting: Coroutine[Any, Any, T], demands: Sequence[Demand]) -> T:
    """Wait for `waiting`, as long as the cluster can ever hold the `demands`.

    Raises:
        BadInput: For `PATIENCE_S` there was no node, and no type of node, for one of them.
    """
    work, watch = asyncio.create_task(waiting), asyncio.create_task(_keep_looking(Watch(demands)))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await watch
        return await work
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)


async def _keep_looking(watch: Watch) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(watch.look)


def count_held(wanted: Demand, room: Room) -> int:
    """Return how many of `wanted` the nodes that are there would hold, if they did nothing else."""
    fitting = [have for have, labels in room.nodes if _match(labels, wanted.labels)]
    return sum(_copies(have, wanted.bundle) for have in fitting)


def hopeless(wanted: Demand, room: Room) -> BadInput | None:
    """Return why the cluster can never hold `wanted`; None where it can, or will be able to."""
    holds = count_held(wanted, room)
    if holds >= wanted.count or (room.grows and _rounded(wanted.bundle) not in room.infeasible):
        return None
    needs = ", ".join(f"{amount:g} {name}" for name, amount in wanted.bundle.items())
    where = "".join(f" and the label {k}: {v}" for k, v in wanted.labels.items())
    if holds:
        rule = f"can never be scheduled: the cluster has room for {holds} of {needs}{where}"
        return _bad(wanted.fields["count"], wanted.count, rule)
    rule = f"can never be scheduled: no node and no type of node has {needs}{where}"
    for name, amount in wanted.bundle.items():
        most = max((have.get(name, 0) for have, _ in room.nodes), default=0)
        if amount > most + _FIT:
            rule = f"{rule}; now a node has at most {most:g} {name}"
            return _bad(wanted.fields[name], amount, rule)
    if wanted.labels:
        return _bad(wanted.fields["labels"], dict(wanted.labels), rule)
    name, amount = max(wanted.bundle.items(), key=lambda entry: entry[0] == "GPU")
    return _bad(wanted.fields[name], amount, rule)


def read_room() -> Room:
    """Ask the cluster that this process has joined.

    Raises:
        RpcError: It did not answer.
    """
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    reply = _MESSAGES.GetClusterStatusReply()
    reply.ParseFromString(client.get_cluster_status(timeout_s=_RPC_S))
    state, scaling = reply.cluster_resource_state, reply.autoscaling_state
    alive = [node for node in state.node_states if node.status != _MESSAGES.NodeStatus.DEAD]
    return Room(
        nodes=[(dict(node.total_resources), dict(node.labels)) for node in alive],
        grows=_grows(alive, scaling),
        infeasible=[_rounded(one.resources_bundle) for one in _infeasible(scaling)],
    )


def _infeasible(scaling: Any) -> Iterator[Any]:
    """Yield the requests of actors and of placement groups, as trainers make them."""
    yield from scaling.infeasible_resource_requests
    for gang in scaling.infeasible_gang_resource_requests:
        yield from gang.requests
        for selector in gang.bundle_selectors:
            yield from selector.resource_requests


def _rounded(bundle: Mapping[str, float]) -> dict[str, float]:
    """Return resources in the steps that Ray counts them in."""
    return {name: round(amount, 4) for name, amount in bundle.items()}


def _grows(nodes: Sequence[Any], scaling: Any) -> bool:
    """Say whether an autoscaler may add nodes.

    One that reports its state does; nodes that bear the name of a type were started by one that
    may not, such as Ray's former autoscaler. It is then for the deadline of the start to judge.
    """
    reports = scaling.autoscaler_state_version > 0
    return reports or any(node.ray_node_type_name for node in nodes)


def _copies(have: Mapping[str, float], bundle: Mapping[str, float]) -> int:
    """Return how many times `bundle` fits into an empty node; one of nothing fits anywhere."""
    return int(min((have.get(n, 0) / amount + _FIT for n, amount in bundle.items()), default=1e9))


def _match(labels: Labels, selector: Labels) -> bool:
    """Say whether a node's labels satisfy Ray's selectors: `a`, `!a`, `in(a, b)`, `!in(a, b)`."""
    for key, wanted in selector.items():
        found = _ALTERNATIVES.fullmatch(wanted)
        negated, names = (found.group(1), found.group(2)) if found else ("", wanted)
        if (labels.get(key) in [name.strip() for name in names.split(",")]) == bool(negated):
            return False
    return True


def _bad(field: str, value: object, rule: str) -> BadInput:
    return BadInput(file="config", field=field, value=value, rule=rule)
