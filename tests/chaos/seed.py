"""One run from its configuration to what came out, on a cluster and a store of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.calls import CALLS_FILE, Calls
from tests.chaos.check import Count, count, read_rows
from tests.chaos.kills import Kill
from tests.chaos.scripts import CALLS_PER_ROW, LATENCY_S, POISON, call_name, said
from tests.chaos.store import RUN, Store
from tests.chaos.storm import NODE_ENV, Storm
from tests.e2e.nodes import start_cluster
from tests.synth.s3_proxy import FaultProxy, running
from tests.synth.s3_server import BUCKET, CREDENTIALS, download, s3_server

POISON_CALLS = 4  # an engine dies of a row twice before it is suspected, twice before it is blamed
STORE_FAULTS = 0.1  # of the requests to the store
CONFIG = """
run: s3://{bucket}/{run}
recipe: tests.chaos.scripts.two_calls
samples: 1
seeds: {{path: {seeds}, label: benign, eval_share: 0}}
teacher:
  model: scripted
  backend: scripted
  replicas: {{min: 2, max: 2}}
  resources: {{num_cpus: 0.5}}
  engine_args: {{script: "tests.chaos.scripts:answer", max_num_seqs: 8}}
limits:
  workers: 3
  call_timeout_s: 30
  drain_s: 3
  start_timeout_s: 120
  pool_deadline_s: 120
  allow_failed: 0.5
storage: {{endpoint_url: "{url}", timeout_s: 2, deadline_s: 120}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of one run.

    Attributes:
        rows: Rows that end well.
        poison: Further rows, each of which kills every engine it comes to.
        latency_s: Of a call, on average.
        timeout_s: For all of it, however often its driver is killed.
    """

    rows: int
    poison: int
    latency_s: float = 0.8
    timeout_s: float = 900.0

    @property
    def calls(self) -> int:
        """Calls that the run needs."""
        return CALLS_PER_ROW * self.rows + POISON_CALLS * self.poison


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What happened to a run, and what came out.

    Attributes:
        kills: By kind.
        at_stake: Calls in flight and finished rows of open leases, at each kill.
        nodes_gone: Nodes that left by themselves.
        seconds: From the first driver's start to the last one's end.
        calls_made: Calls that reached an engine, whatever became of them.
        poison_deaths: Engines that died of a poison row.
        store_faults: Requests to the store that failed.
        left_behind: Workers and replicas that were still there in the end.
        count: What the run directory holds.
        wrong: Good rows whose answer is not the one to their question.
    """

    size: Size
    kills: Mapping[str, int]
    at_stake: Sequence[int]
    nodes_gone: int
    seconds: float
    calls_made: int
    poison_deaths: int
    store_faults: int
    left_behind: int
    count: Count
    wrong: int

    @property
    def lost(self) -> int:
        """Rows that are not there."""
        return self.count.lost + self.size.rows + self.size.poison - self.count.planned

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, and nobody failed but the poison rows."""
        found = self.count
        ok = CALLS_PER_ROW * self.size.rows
        return (
            not (self.lost or found.double or self.wrong or self.left_behind)
            and found.outcomes == {"ok": ok, "failed": self.size.poison}
            and found.poison == self.size.poison
            and all(POISON in prompt for prompt in found.failed)
        )


def run_seed(size: Size, kills: Sequence[Kill], seed: int, folder: Path) -> Result:
    """Run to the end through `kills`, each once so many calls are answered and some are open."""
    folder.mkdir(parents=True)
    record = folder / "calls"
    record.touch()
    env = {CALLS_FILE: str(record), LATENCY_S: str(size.latency_s), **CREDENTIALS, **NODE_ENV}
    with (
        s3_server() as url,
        running(FaultProxy(url, STORE_FAULTS, seed)) as proxy,
        # The head node has no room for workers and engines: it can not be lost.
        start_cluster("--num-cpus=0", node_types=None, **env) as cluster,
    ):
        config = _configure(folder, size, proxy.url)
        storm = Storm(cluster, config, Calls(record), Store(url), Random(seed))
        storm.run(kills, size.timeout_s)
        download(url, f"{RUN}/", folder / RUN)
    return Result(
        size=size,
        kills=storm.kills,
        at_stake=storm.at_stake,
        nodes_gone=storm.nodes_gone,
        seconds=storm.seconds,
        calls_made=storm.calls.made,
        poison_deaths=storm.calls.deaths,
        store_faults=proxy.seen.total() - proxy.seen["fine"],
        left_behind=storm.left_behind,
        count=count(folder / RUN),
        wrong=_count_wrong(folder / RUN),
    )


def _configure(folder: Path, size: Size, url: str) -> Path:
    """Write the questions, the poison among them, and the configuration."""
    questions = [f"What is the number after {number}?" for number in range(size.rows)]
    step = len(questions) // (size.poison + 1) + 1
    for index in range(size.poison):
        questions.insert((index + 1) * step, f"What is {index}, {POISON}?")
    seeds, config = folder / "seeds.jsonl", folder / "config.yaml"
    seeds.write_text("".join(json.dumps({"prompt": q}) + "\n" for q in questions))
    config.write_text(CONFIG.format(bucket=BUCKET, run=RUN, seeds=seeds, url=url))
    return config


def _count_wrong(run: Path) -> int:
    columns = ["item_id", "trace_index", "prompt", "outcome", "answer"]
    return sum(
        row["answer"] != said(call_name(row["item_id"], row["trace_index"]), row["prompt"])
        for row in read_rows(run / "traces", columns)
        if row["outcome"] == "ok"
    )
