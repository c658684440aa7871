"""What a cluster's monitoring sees of a run: `METRICS`, through Ray's own.

Worker and replica processes feed them about once a second and once a lease, never once a call.
They are a view that may miss a process's last seconds; what counts is in the run's files. Calls
are counted by role, also where roles share a pool and with it one limit.
A leaf: imports Ray.
"""

from collections import defaultdict
from typing import Literal, NamedTuple

from ray.util.metrics import Counter, Gauge, Histogram

from synth.calls.snapshot import RoleUse, Snapshot


class MetricSpec(NamedTuple):
    """One metric: what it is, and the tags that tell its series apart."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    tags: tuple[str, ...]


ROWS = "guideweave_rows_total"
TOKENS = "guideweave_tokens_total"
CALLS_RUNNING = "guideweave_calls_running"
CALLS_QUEUED = "guideweave_calls_queued"
LEASE_SECONDS = "guideweave_lease_seconds"
PREFIX_QUERIES = "guideweave_prefix_queries_total"
PREFIX_HITS = "guideweave_prefix_hits_total"

METRICS: dict[str, MetricSpec] = {
    ROWS: MetricSpec("counter", "Rows that have ended", ("run", "stage", "outcome")),
    TOKENS: MetricSpec("counter", "Tokens of answered calls", ("run", "stage", "role", "kind")),
    CALLS_RUNNING: MetricSpec("gauge", "Calls sent and not answered", ("run", "stage", "role")),
    CALLS_QUEUED: MetricSpec("gauge", "Calls that wait to be sent", ("run", "stage", "role")),
    LEASE_SECONDS: MetricSpec("histogram", "From a lease's start to its file", ("run", "stage")),
    PREFIX_QUERIES: MetricSpec("counter", "Prompt tokens looked up in the cache", ("run", "role")),
    PREFIX_HITS: MetricSpec("counter", "Prompt tokens found in the cache", ("run", "role")),
}
LEASE_BUCKETS_S = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0]


class _Totals:
    """Turns totals, read again and again, into what a counter takes: growth."""

    def __init__(self, name: str) -> None:
        self._counter = Counter(name, METRICS[name].about, METRICS[name].tags)
        self._tags = METRICS[name].tags
        self._seen: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def look(self, total: int, *values: str) -> None:
        """Take the newest total of the series with these tag values."""
        if (growth := total - self._seen[values]) > 0:
            self._seen[values] = total
            self._counter.inc(growth, dict(zip(self._tags, values, strict=True)))


class WorkerMetrics:
    """The metrics of one worker process.

    Args:
        run: Digest that names the run on the cluster.
        stage: What its workers work on.
    """

    def __init__(self, run: str, stage: str) -> None:
        self._run, self._stage = run, stage
        self._rows, self._tokens = _Totals(ROWS), _Totals(TOKENS)
        self._running, self._queued = (
            Gauge(name, METRICS[name].about, METRICS[name].tags)
            for name in (CALLS_RUNNING, CALLS_QUEUED)
        )
        lease = METRICS[LEASE_SECONDS]
        self._lease = Histogram(LEASE_SECONDS, lease.about, LEASE_BUCKETS_S, lease.tags)

    def look(self, snapshot: Snapshot) -> None:
        """Take the worker's newest numbers."""
        for outcome, rows in snapshot.outcomes.items():
            self._rows.look(rows, self._run, self._stage, outcome)
        for role, use in snapshot.roles.items():
            self._look_at_role(role, use)

    def lease_ended(self, seconds: float) -> None:
        """Note how long a lease took."""
        self._lease.observe(seconds, {"run": self._run, "stage": self._stage})

    def _look_at_role(self, role: str, use: RoleUse) -> None:
        tags = {"run": self._run, "stage": self._stage, "role": role}
        self._running.set(use.calls_running, tags)
        self._queued.set(use.calls_queued, tags)
        self._tokens.look(use.prompt_tokens, self._run, self._stage, role, "prompt")
        self._tokens.look(use.output_tokens, self._run, self._stage, role, "output")


class ReplicaMetrics:
    """The metrics of one replica.

    Args:
        run: Digest that names the run on the cluster.
        role: The first of the roles that share the pool.
    """

    def __init__(self, run: str, role: str) -> None:
        self._run, self._role = run, role
        self._queries, self._hits = _Totals(PREFIX_QUERIES), _Totals(PREFIX_HITS)

    def look(self, queries: int, hits: int) -> None:
        """Take the prompt tokens looked up in the engine's prefix cache, and those found."""
        self._queries.look(queries, self._run, self._role)
        self._hits.look(hits, self._run, self._role)
