"""What workers and replicas count arrives where a cluster's Prometheus would read it."""

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from synth.cluster.metrics import (
    CALLS_QUEUED,
    CALLS_RUNNING,
    LEASE_SECONDS,
    METRICS,
    PREFIX_HITS,
    PREFIX_QUERIES,
    ROWS,
    TOKENS,
    ReplicaMetrics,
)
from synth.drive.drive import Drive
from synth.drive.worker import start_workers, stop_workers
from synth.workspace.workspace import Workspace
from tests.synth.drive.test_drive import make_work
from tests.synth.factories import make_items

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RUN, STAGE = "0123abcd", "synthesize"
ARRIVES_S = 60.0

Series = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        _system_config={"metrics_report_interval_ms": 1_000},
    )
    yield metrics_address()
    ray.shutdown()


def metrics_address() -> str:
    [node] = ray.nodes()
    return f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"


class Counting:
    """An actor that stands for a replica."""

    def __init__(self) -> None:
        self._metrics = ReplicaMetrics(RUN, "teacher")

    def look(self, queries: int, hits: int) -> None:
        self._metrics.look(queries, hits)


def series(page: str, name: str, run: str = RUN) -> Series:
    """Return a metric's values by those of its tags, summed over processes."""
    found: Series = {}
    suffix = "_count" if METRICS[name].kind == "histogram" else ""
    for labels, value in re.findall(rf"^ray_{name}{suffix}\{{(.*)\}} (\S+)$", page, re.MULTILINE):
        tags = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if tags.get("run") == run:
            key = tuple(tags[tag] for tag in METRICS[name].tags)
            found[key] = found.get(key, 0) + float(value)
    return found


def wait_for(address: str, seen: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + ARRIVES_S
    while True:
        with urllib.request.urlopen(address, timeout=10) as answer:
            page = answer.read().decode()
        if seen(page):
            return page
        assert time.monotonic() < deadline, [line for line in page.splitlines() if RUN in line]
        time.sleep(0.5)


def test_a_workers_numbers_arrive(address: str, tmp_path: Path) -> None:
    Workspace(str(tmp_path)).publish(make_items(40), rows=16)
    workers = start_workers(make_work(tmp_path), 60, run=RUN, stage=STAGE)
    try:
        asyncio.run(Drive(workers, Workspace(str(tmp_path)).owed()).run())
        page = wait_for(
            address,
            lambda page: (
                series(page, ROWS) == {(RUN, STAGE, "ok"): 40}
                and series(page, LEASE_SECONDS) == {(RUN, STAGE): 3}
            ),
        )
    finally:
        stop_workers(workers)
    tokens = series(page, TOKENS)
    assert tokens[RUN, STAGE, "teacher", "output"] == 40 * 5
    assert tokens[RUN, STAGE, "teacher", "prompt"] > 0
    for gauge in (CALLS_RUNNING, CALLS_QUEUED):
        assert series(page, gauge) == {(RUN, STAGE, "teacher"): 0}


def test_a_replicas_prefix_cache_arrives(address: str) -> None:
    remote: Any = ray.remote(Counting).options(num_cpus=0)
    replica = remote.remote()
    for queries, hits in ((100, 0), (100, 0), (1_000, 700)):
        ray.get(replica.look.remote(queries, hits))
    wait_for(
        address,
        lambda page: (
            series(page, PREFIX_QUERIES) == {(RUN, "teacher"): 1_000}
            and series(page, PREFIX_HITS) == {(RUN, "teacher"): 700}
        ),
    )
