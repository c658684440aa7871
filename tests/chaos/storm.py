"""A run on a cluster of several nodes, and what is done to its processes meanwhile."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from tests.chaos.calls import Calls
from tests.chaos.kills import DRIVER, Kill, title
from tests.chaos.scripts import CALLS_PER_ROW
from tests.chaos.store import Store
from tests.e2e.nodes import ROOT, Cluster, wait_until

WORKER, REPLICA, NODE, CONTROLLER = "worker", "replica", "node", "controller"
MARKS = {
    WORKER: "ray::WorkerActor",
    REPLICA: "ray::ServeReplica:gw-",
    CONTROLLER: "ray::ServeController",
}
NODE_ENV = {
    # Serve's controller looks ten times a second, which two cores feel.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    # A node whose process is gone is found dead in seconds, one that is slow to answer is not.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "8",
}
# What an entry point of a Ray job finds in its environment: it joins the cluster it is on.
_JOB = {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {}, "metadata": {}})}
_SPOT_NODES, _SPOT = 2, "--num-cpus=2"
_POLL_S = 0.2  # looking for processes costs
_LEAVE_S = 20.0


class Storm:
    """A run and what is done to it.

    Attributes:
        kills: Kills that found a victim, by kind.
        at_stake: Calls in flight and finished rows of open leases, at each kill.
        nodes_gone: Nodes that left by themselves.
        seconds: From the first driver's start to the last one's end.
        left_behind: Workers and replicas that were still there in the end.
    """

    def __init__(
        self, cluster: Cluster, config: Path, calls: Calls, store: Store, draw: Random
    ) -> None:
        self.kills: Counter[str] = Counter()
        self.at_stake: list[int] = []
        self.nodes_gone = 0
        self.seconds = 0.0
        self.left_behind = 0
        self.calls = calls
        self._cluster, self._config, self._store, self._draw = cluster, config, store, draw
        self._log = config.with_name("drivers.log")
        self._nodes: list[subprocess.Popen[bytes]] = []
        # Workers and engines that a killed driver left behind.
        self._orphans: set[psutil.Process] = set()
        self._settled = 0  # rows that were published when the driver began

    def run(self, kills: Sequence[Kill], timeout_s: float) -> None:
        """Strike as told; return when the run is finished.

        Raises:
            AssertionError: A driver that was not killed did not exit 0, or time is up.
        """
        self._nodes += [self._cluster.add_node(_SPOT) for _ in range(_SPOT_NODES)]
        started = time.monotonic()
        self._deadline = started + timeout_s
        self._driver = self._start()
        try:
            for kill in kills:
                while not self._strike(kill):
                    time.sleep(_POLL_S)
            while self._driver.poll() is None and time.monotonic() < self._deadline:
                self._replace_ended()
                time.sleep(_POLL_S)
            assert self._driver.poll() == 0, self._said()
        finally:
            self._driver.kill()
            self._driver.wait()
        self.seconds = time.monotonic() - started
        self.calls.look()
        with suppress(AssertionError):
            wait_until(lambda: not self._find(WORKER, REPLICA), _LEAVE_S, "all have left")
        self.left_behind = len(self._find(WORKER, REPLICA))

    def _start(self) -> subprocess.Popen[bytes]:
        # --force: the heartbeat of a driver just killed is still fresh.
        command = [sys.executable, "-m", "ray_jobs.synthesize", str(self._config), "--force"]
        env = {**self._cluster.env, **_JOB, "RAY_ADDRESS": self._cluster.address}
        with self._log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

    def _strike(self, kill: Kill) -> bool:
        """Kill one of the kind if it is time to; say whether there was a victim."""
        self.calls.look()
        self._replace_ended()
        assert self._driver.poll() is None, f"ended before {kill}: {self._said()}"
        assert time.monotonic() < self._deadline, f"no time left for {kill}: {self._said()}"
        if self.calls.answered < kill.progress or not self._under_way():
            return False
        if not (victims := self._victims(kill.kind)):
            return False
        at_stake = self._at_stake()
        if not self._kill(kill.kind, self._draw.choice(victims)):
            return False
        self.at_stake.append(at_stake)
        self.kills[kill.kind] += 1
        return True

    def _replace_ended(self) -> None:
        """Add a node for each that left by itself, as Ray has it leave when it answers too late."""
        for node in [node for node in self._nodes if node.poll() is not None]:
            self._nodes.remove(node)
            self._nodes.append(self._cluster.add_node(_SPOT))
            self.nodes_gone += 1

    def _under_way(self) -> bool:
        """Say whether engines have calls of the driver that lives."""
        return self.calls.in_flight(self._orphans) > 0

    def _kill(self, kind: str, victim: psutil.Process) -> bool:
        """Kill it, and start again what nobody else would; say whether it still lived."""
        if kind == NODE:
            [node] = [node for node in self._nodes if node.pid == victim.pid]
            self._nodes.remove(node)
            self._cluster.end_node(node)
            self._nodes.append(self._cluster.add_node(_SPOT))
            return True
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:  # it has ended by itself just now
            return False
        if kind == DRIVER:
            self._driver.wait()
            self._orphans = set(self._find(WORKER, REPLICA))
            self.calls.of_rows.clear()
            self._settled = self._store.rows()
            self._driver = self._start()
        return True

    def _victims(self, kind: str) -> list[psutil.Process]:
        if kind == DRIVER:
            return [psutil.Process(self._driver.pid)]
        if kind == NODE:  # one that workers or engines are on
            nodes = [psutil.Process(node.pid) for node in self._nodes]
            return [node for node in nodes if _find(node, WORKER, REPLICA)]
        found = [process for process in self._find(kind) if process not in self._orphans]
        if kind == REPLICA:
            working = self.calls.engines()
            return [process for process in found if process in working]
        return found

    def _find(self, *kinds: str) -> list[psutil.Process]:
        alive = [node for node in self._cluster.nodes if node.poll() is None]
        return [p for node in alive for p in _find(psutil.Process(node.pid), *kinds)]

    def _at_stake(self) -> int:
        finished = sum(len(calls) == CALLS_PER_ROW for calls in self.calls.of_rows.values())
        published = self._store.rows() - self._settled
        return self.calls.in_flight() + max(0, finished - published)

    def _said(self) -> str:
        return f"exit {self._driver.poll()}: {self._log.read_text(errors='replace')[-3000:]}"


def _find(node: psutil.Process, *kinds: str) -> list[psutil.Process]:
    """Return the processes of a node that are of these kinds, the oldest first."""
    with suppress(psutil.NoSuchProcess):
        return [
            process
            for process in node.children(recursive=True)
            if any(MARKS[kind] in title(process) for kind in kinds)
        ]
    return []
