"""A cluster that grows with a run and shrinks after it, by Ray's own autoscaler.

Its nodes are processes that Ray's provider of fake nodes starts and ends.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs import STABLE, Project, finish, project, since, tell
from tests.e2e.nodes import Cluster, start_cluster, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(560)]

ENGINES = {
    "engines": {
        "resources": {"CPU": 2, "GPU": 1},
        "labels": {"group": "engines"},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    }
}
SCALED = "{min: 1, max: 2, upscale_delay_s: 1, downscale_delay_s: 2}"
EMPTY_S = 90.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with start_cluster("--num-cpus=4", STABLE, node_types=ENGINES) as cluster:
        yield cluster


def test_nodes_come_with_a_run_and_go_with_it_or_with_its_driver(
    cluster: Cluster, tmp_path: Path
) -> None:
    assert engines(cluster) == 0
    never = project(tmp_path / "never", cluster)
    never.configure(samples=1, num_gpus=8)
    asked = time.monotonic()
    hopeless = never.submit()

    own = project(tmp_path / "own", cluster)
    own.configure(samples=12, replicas=SCALED, num_gpus=1)
    started = time.monotonic()
    submitted = own.submit()
    own.wait_for_leases(1)
    first = since(started)
    wait_until(lambda: engines(cluster) == 2, EMPTY_S, "both nodes")
    both = since(started)

    assert finish(hopeless) == 2, never.log.read_text()
    said = never.log.read_text()
    tell("never scheduled", seconds=since(asked))
    assert "teacher.resources.num_gpus: value 8" in said
    assert "can never be scheduled" in said

    assert finish(submitted) == 0, own.log.read_text()
    done = time.monotonic()
    assert own.counted().whole
    wait_until(lambda: engines(cluster) == 0, EMPTY_S, "no node")
    tell("0 nodes -> 2 -> 0", first_lease_s=first, two_nodes_s=both, none_after_s=since(done))
    assert left(cluster) == []

    killed(project(tmp_path / "killed", cluster))


def killed(own: Project) -> None:
    """A driver that is killed leaves nothing on the cluster either."""
    own.configure(samples=12, num_gpus=1)
    submitted = own.submit()
    own.wait_for_leases(1)
    started = time.monotonic()
    own.driver().kill()
    assert finish(submitted) == 1, own.log.read_text()
    assert "the job was lost, submitting again resumes" in own.log.read_text()
    wait_until(lambda: left(own.cluster) == [], EMPTY_S, "nothing is left")
    gone = since(started)
    wait_until(lambda: engines(own.cluster) == 0, EMPTY_S, "no node")
    tell("SIGKILL of the driver", nothing_left_s=gone, no_node_s=since(started))
    assert own.cluster.ask("/api/serve/applications/").json()["applications"] == {}


def engines(cluster: Cluster) -> int:
    """Return how many nodes there are beyond the head."""
    return len(cluster.alive("nodes")) - 1


def left(cluster: Cluster) -> list[str]:
    """Return the actors that live, but for Serve's own, which is one per cluster and stays."""
    found = [actor["class_name"] for actor in cluster.alive("actors")]
    return [name for name in found if name != "ServeController"]
