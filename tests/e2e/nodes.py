"""Ray clusters of a test's own on this machine: every node a process that the test started.

Ports, folder and token are the cluster's own, so that it neither meets nor ends another one;
`ray stop`, which ends every cluster of the machine, is never called. Token authentication is
on at every node.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_S = 120.0
_LEAVE_S = 15.0
BIN = Path(sys.executable).parent
_MEMORY = 100 * 1024 * 1024
_POLL_S = 0.25
_FAKE = "ray.autoscaler._private.fake_multi_node.node_provider"
_HEAD_ID, _HEAD_TYPE = "f" * 51 + "00000", "ray.head.default"  # to that provider
_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
_AUTOSCALER = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: Its own, removed at the end.
        address: Where drivers join.
        url: Where jobs are submitted.
        env: The environment of every node, and of whoever may talk to them.
        nodes: The processes that everything else comes from.
        clients: Commands that talk to the cluster, and end with it.
    """

    folder: Path
    address: str
    url: str
    env: Mapping[str, str]
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    clients: list[subprocess.Popen[str]] = field(default_factory=list)

    def add_node(self, *options: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a further node, after those before it, and return its process."""
        # Nodes that start at once choose the same names for their sockets.
        wait_until(lambda: _has_raylet(self.nodes[-1]), START_S, "the node before has begun")
        return self._start([f"--address={self.address}", *options], env)

    def end_node(self, node: subprocess.Popen[bytes]) -> None:
        """Kill a node and everything on it, as a spot node goes."""
        process = psutil.Process(node.pid)
        end_processes([process, *process.children(recursive=True)])
        node.wait()

    def ask(self, path: str, method: str = "GET", token: str | None = None) -> requests.Response:
        """Ask the cluster's HTTP interface, with its own token or another."""
        token = token or Path(self.env["RAY_AUTH_TOKEN_PATH"]).read_text()
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, self.url + path, headers=headers, timeout=30)

    def alive(self, kind: str) -> list[dict[str, Any]]:
        """Return the living `nodes` or `actors` as Ray's state interface tells them."""
        answer = self.ask(f"/api/v0/{kind}?detail=true&limit=1000").json()
        found = answer["data"]["result"]["result"]
        return [each for each in found if each["state"] in ("ALIVE", "PENDING_CREATION")]

    def descendants(self) -> set[psutil.Process]:
        """Return every process of the cluster that lives."""
        found: set[psutil.Process] = set()
        for node in self.nodes:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(node.pid)
                found |= {process, *process.children(recursive=True)}
        return found

    def _start(self, options: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        common = [
            "--block",
            "--disable-usage-stats",
            f"--node-ip-address={HOST}",
            f"--object-store-memory={_MEMORY}",
            "--dashboard-agent-listen-port=0",
            "--metrics-export-port=0",
        ]
        with (self.folder / "nodes.log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / "ray"), "start", *common, *options],
                env={**self.env, **env},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.nodes.append(process)
        return process


def _has_raylet(node: subprocess.Popen[bytes]) -> bool:
    """Say whether a node's own process has come; one that has ended will not be waited for."""
    if node.poll() is not None:
        return True
    return any(child.name() == "raylet" for child in psutil.Process(node.pid).children())


@contextmanager
def start_cluster(
    *options: str, node_types: Mapping[str, Any] | None = None, **env: str
) -> Iterator[Cluster]:
    """Start a head node and yield the cluster once jobs can be submitted; end it afterwards.

    Args:
        *options: Further words of `ray start`.
        node_types: What Ray's autoscaler may start through Ray's own provider of fake nodes,
            processes like all others.
        **env: Added to the environment of every node.
    """
    folder = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp"))  # sockets allow no longer a path
    port, dashboard, client = free_ports(3)
    cluster = Cluster(
        folder=folder,
        address=f"{HOST}:{port}",
        url=f"http://{HOST}:{dashboard}",
        env={**_environment(folder), **env},
    )
    head = [
        "--head",
        f"--port={port}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-host={HOST}",
        f"--ray-client-server-port={client}",
        f"--temp-dir={folder / 'ray'}",
        *options,
    ]
    if node_types:
        head.append(f"--autoscaling-config={_autoscaling(cluster, node_types)}")
    try:
        cluster._start(head, _AUTOSCALER if node_types else {})
        wait_until(lambda: _answers(cluster), START_S, "the head node answers")
        yield cluster
    finally:
        for client in cluster.clients:
            client.kill()
        end_processes(cluster.descendants())
        for process in (*cluster.clients, *cluster.nodes):
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until(true: Callable[[], object], timeout_s: float, what: str) -> float:
    """Wait until `true`, and return the seconds that took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < timeout_s, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(_POLL_S)
    return time.monotonic() - started


def end_processes(processes: Iterable[psutil.Process]) -> None:
    """Kill `processes`, which the caller has started, and wait for their end."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_LEAVE_S)


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a cluster, its token fresh, and nothing of another cluster's."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env = {
        **others,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(folder),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    made = {**env, "HOME": str(folder)}
    token = subprocess.run(
        [str(BIN / "ray"), "get-auth-token", "--generate"], env=made, capture_output=True
    )
    assert token.returncode == 0, token.stderr
    path = folder / ".ray" / "auth_token"
    return {**env, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


def _answers(cluster: Cluster) -> bool:
    try:
        return cluster.ask("/api/jobs/").ok and bool(cluster.alive("nodes"))
    except requests.RequestException:
        return False


def _autoscaling(cluster: Cluster, node_types: Mapping[str, Any]) -> Path:
    """Write what `ray up` would leave on a head node, for the provider of fake nodes."""
    head = {"resources": {}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "fake",
        "max_workers": 8,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.15,
        "provider": {
            # By its dotted path: for the provider's own name Ray reads defaults it does not ship.
            "type": "external",
            "module": f"{_FAKE}.FakeMultiNodeProvider",
            "launch_multiple": True,
            "head_node_id": _HEAD_ID,
            "gcs_address": cluster.address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "head_node_type": _HEAD_TYPE,
        "available_node_types": {**node_types, _HEAD_TYPE: head},
        "file_mounts": {},
        "cluster_synced_files": [],
        **{name: [] for name in _COMMANDS},
    }
    path = cluster.folder / "autoscaling.json"
    path.write_text(json.dumps(config))
    return path
