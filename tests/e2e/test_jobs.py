"""A run as a job of a real cluster: two nodes, token authentication on, and interruptions."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.jobs import ENGINES, STABLE, Project, finish, project, since, tell
from tests.e2e.nodes import Cluster, start_cluster, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(560)]

PLANTED_THERE, PLANTED_HERE = "planted-on-the-cluster-4711", "planted-by-the-user-0815"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    head = ("--num-cpus=4", STABLE)
    with start_cluster(*head, RAY_JOB_STOP_WAIT_TIME_S="45", JUDGE_KEY=PLANTED_THERE) as cluster:
        yield cluster


def test_nobody_gets_in_without_the_token(cluster: Cluster, tmp_path: Path) -> None:
    for path in ("/api/jobs/", "/api/v0/actors", "/api/version"):
        assert requests.get(cluster.url + path, timeout=30).status_code == 401
        assert cluster.ask(path, token="0" * 64).status_code == 403
    own = project(tmp_path, cluster)
    own.configure(samples=1)
    without = {name: v for name, v in cluster.env.items() if not name.startswith("RAY_AUTH")}
    assert finish(own.submit(env={**without, "RAY_AUTH_MODE": "disabled"})) == 2
    [line] = own.log.read_text().splitlines()
    assert "wants the cluster's token" in line
    assert cluster.ask("/api/jobs/").json() == []


def test_a_job_carries_no_secret_and_its_exit_code_is_ours(
    cluster: Cluster, tmp_path: Path
) -> None:
    own = project(tmp_path, cluster)
    own.configure(samples=1)
    (own.folder / ".env").write_text(f"JUDGE_KEY={PLANTED_HERE}")
    judge = (
        "judge={endpoint: {base_url: 'http://127.0.0.1:9/v1', model: m, api_key_env: JUDGE_KEY}}"
    )
    submitted = own.submit("--set", judge, env={**cluster.env, "JUDGE_KEY": PLANTED_HERE})
    assert finish(submitted) == 2, own.log.read_text()
    said = own.log.read_text()
    assert "must have in its environment: JUDGE_KEY" in said
    assert "judge.endpoint: value 'http://127.0.0.1:9/v1'" in said
    told = [said, cluster.ask("/api/jobs/").text, cluster.ask(f"/api/jobs/{own.job}/logs").text]
    left = [path for path in (cluster.folder / "ray").rglob("*") if path.is_file()]
    for secret in (PLANTED_HERE, PLANTED_THERE):
        assert not any(secret in text for text in told)
        assert [path for path in left if secret.encode() in path.read_bytes()] == []


def test_a_stopped_a_terminated_and_a_bereft_job_lose_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    own = project(tmp_path, cluster)
    own.configure(samples=12)
    engines = cluster.add_node("--num-cpus=2", ENGINES)

    submitted = own.submit()
    own.wait_for_leases(2)
    # What an engine's node takes with it is engines only.
    assert groups(cluster)["ServeReplica"] == {"engines"}
    assert groups(cluster)["WorkerActor"] == groups(cluster)["Owner"] == {"stable"}
    seconds = stop(own)
    assert finish(submitted) == 130, own.log.read_text()
    kept = own.kept()
    tell("ray job stop", seconds=seconds, kept=kept)
    assert kept["ok"] > 0
    assert kept["interrupted"] > 0

    submitted = own.submit()
    own.wait_for_leases(2)
    started = time.monotonic()
    own.driver().send_signal(signal.SIGTERM)
    assert finish(submitted) == 130, own.log.read_text()
    assert own.details()["driver_exit_code"] == 130
    after = own.kept()
    tell("SIGTERM", seconds=since(started), kept=after)
    assert after["ok"] > kept["ok"]

    submitted = own.submit_by_ray()
    own.wait_for_leases(2)
    cluster.end_node(engines)
    started = time.monotonic()
    cluster.add_node("--num-cpus=2", ENGINES)
    assert finish(submitted) == 0, own.log.read_text()
    found = own.counted()
    tell("the engines' node lost", seconds=since(started), counted=str(found))
    assert found.whole, found
    assert (own.run / "report.html").exists()
    assert own.kept()["ok"] == found.rows


def groups(cluster: Cluster) -> dict[str, set[str]]:
    """Return where the actors live, by kind."""
    group = {node["node_id"]: node["labels"]["group"] for node in cluster.alive("nodes")}
    found: dict[str, set[str]] = {}
    for actor in cluster.alive("actors"):
        found.setdefault(actor["class_name"].partition(":")[0], set()).add(group[actor["node_id"]])
    return found


def stop(own: Project) -> float:
    """Ask for what `ray job stop` asks for; return the seconds to the job's end."""
    started = time.monotonic()
    assert own.cluster.ask(f"/api/jobs/{own.job}/stop", method="POST").ok
    wait_until(lambda: own.details()["status"] == "STOPPED", 60, "the job has stopped")
    return since(started)
