"""What a cluster can never hold, and what is worth waiting for."""

import asyncio
from collections.abc import Sequence

import pytest

from guidelines import BadInput
from synth.cluster import room
from synth.cluster.room import Demand, Room, hopeless, replicas_demand, unless_hopeless
from synth.config.schema import Labels, ModelConfig, Replicas, Resources

HEAD, GPU_NODE = {"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}


def teacher(
    num_gpus: float = 1, labels: Labels | None = None, least: int = 1, num_cpus: float = 1
) -> Demand:
    resources = Resources(num_gpus=num_gpus, num_cpus=num_cpus, labels=labels or {})
    replicas = Replicas(min=least, max=max(1, least))
    model = ModelConfig(model="org/m", resources=resources, replicas=replicas)
    return replicas_demand(["teacher"], model)


def cluster(*nodes: dict[str, float], labels: Sequence[Labels] = ()) -> Room:
    named = labels or [{}] * len(nodes)
    return Room(list(zip(nodes, named, strict=True)), grows=False)


def growing(*nodes: dict[str, float], infeasible: Sequence[dict[str, float]] = ()) -> Room:
    return Room([(node, {}) for node in nodes], grows=True, infeasible=infeasible)


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        (teacher(), cluster(HEAD, GPU_NODE)),
        (teacher(least=2), cluster(GPU_NODE, GPU_NODE)),
        (teacher(num_gpus=0.25, least=4), cluster(GPU_NODE)),
        (teacher(num_gpus=0, num_cpus=0), cluster(HEAD)),
        (teacher(), growing(HEAD)),  # the autoscaler has a node for it, or has not looked yet
        (teacher(), growing(HEAD, infeasible=[{"CPU": 1.0, "GPU": 8.0}])),  # another's request
        (teacher(), growing(GPU_NODE, infeasible=[{"CPU": 1.0, "GPU": 1.0}])),  # only busy
        (teacher(labels={"group": "a"}), cluster(GPU_NODE, labels=[{"group": "a"}])),
        (teacher(labels={"group": "!b"}), cluster(GPU_NODE)),
        (teacher(labels={"group": "in(a, b)"}), cluster(GPU_NODE, labels=[{"group": "b"}])),
        (teacher(labels={"group": "!in(a, b)"}), cluster(GPU_NODE, labels=[{"group": "c"}])),
    ],
)
def test_what_a_cluster_holds_or_may_hold_is_waited_for(wanted: Demand, where: Room) -> None:
    assert hopeless(wanted, where) is None


@pytest.mark.parametrize(
    ("wanted", "where", "field", "rule"),
    [
        (teacher(8), cluster(GPU_NODE), "teacher.resources.num_gpus", "at most 1 GPU"),
        (teacher(), cluster(HEAD), "teacher.resources.num_gpus", "at most 0 GPU"),
        (teacher(0, num_cpus=99), cluster(HEAD), "teacher.resources.num_cpus", "at most 4 CPU"),
        (
            teacher(8),
            growing(HEAD, infeasible=[{"CPU": 1.0, "GPU": 8.0}]),
            "teacher.resources.num_gpus",
            "no node and no type of node has 1 CPU, 8 GPU",
        ),
        (teacher(least=3), cluster(GPU_NODE, GPU_NODE), "teacher.replicas.min", "room for 2 of"),
        (
            teacher(labels={"group": "a"}),
            cluster(GPU_NODE, labels=[{"group": "b"}]),
            "teacher.resources.labels",
            "the label group: a",
        ),
        (
            teacher(labels={"group": "!b"}),
            cluster(GPU_NODE, labels=[{"group": "b"}]),
            "teacher.resources.labels",
            "the label group: !b",
        ),
    ],
)
def test_what_it_never_will_is_named(wanted: Demand, where: Room, field: str, rule: str) -> None:
    why = hopeless(wanted, where)
    assert why is not None
    assert why.field == field
    assert rule in why.rule
    assert "can never be scheduled" in why.rule


async def test_waiting_ends_when_it_is_hopeless_and_only_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "LOOK_S", 0.01)
    monkeypatch.setattr(room, "PATIENCE_S", 0.05)
    looks = iter([cluster(HEAD), growing(HEAD)] * 20)  # hopeless at first sight only
    monkeypatch.setattr(room, "read_room", lambda: next(looks))
    assert await unless_hopeless(asyncio.sleep(0.3, "ready"), [teacher()]) == "ready"
    monkeypatch.setattr(room, "read_room", lambda: cluster(HEAD))
    with pytest.raises(BadInput, match="num_gpus"):
        await unless_hopeless(asyncio.sleep(60), [teacher()])


def test_what_has_come_is_not_watched_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", -1)
    looks = iter([cluster(GPU_NODE), cluster(HEAD)])
    monkeypatch.setattr(room, "read_room", lambda: next(looks))
    watch = room.Watch([teacher()])
    watch.look()
    watch.look()


async def test_a_fault_of_what_is_waited_for_is_raised_as_it_is() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await unless_hopeless(fail(), [teacher()])
