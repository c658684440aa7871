"""Jobs on a cluster of a test's own, submitted by the command that people use."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from tests.chaos.check import Count, count
from tests.e2e.nodes import BIN, Cluster, wait_until

STABLE, ENGINES = "--labels=group=stable", "--labels=group=engines"
JOB_S = 150.0
CONFIG = """
run: {run}
recipe: refusal
samples: {samples}
seeds: {{limit: {{harmful: 20, benign: 20, borderline: 0}}}}
teacher:
  model: any
  backend: scripted
  replicas: {replicas}
  resources: {{num_gpus: {num_gpus}, labels: {{group: engines}}}}
  engine_args: {{latency_s: 0.5, max_num_seqs: 8}}
limits: {{workers: 2, worker_labels: {{group: stable}}, call_timeout_s: 60}}
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a configuration, and the run it makes."""

    folder: Path
    cluster: Cluster
    submissions: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def run(self) -> Path:
        """The run's directory, which every node sees."""
        return self.folder / "shared" / "run"

    def configure(
        self, samples: int, replicas: str = "{min: 1, max: 1}", num_gpus: int = 0
    ) -> None:
        """Write `run.yaml`."""
        text = CONFIG.format(run=self.run, samples=samples, replicas=replicas, num_gpus=num_gpus)
        (self.folder / "run.yaml").write_text(text)

    def submit(self, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `guideweave submit`, whose output goes into the project's `submit.log`."""
        ours = [sys.executable, "-m", "ray_jobs.cli", "submit", "run.yaml"]
        command = [*ours, "--address", self.cluster.url, *options]
        return self._start(command, self.cluster.env if env is None else env)

    def submit_by_ray(self) -> subprocess.Popen[str]:
        """Start `ray job submit` with the same run."""
        rays = [str(BIN / "ray"), "job", "submit", "--address", self.cluster.url]
        entry = ["--working-dir", ".", "--", "python", "-m", "ray_jobs.run", "run.yaml"]
        return self._start([*rays, *entry], self.cluster.env)

    def _start(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        with self.log.open("w") as log:
            submitted = subprocess.Popen(
                command,
                cwd=self.folder,
                env=dict(env),
                stdout=log,
                stderr=log,
                text=True,
            )
        self.cluster.clients.append(submitted)
        self.submissions.append(submitted)
        return submitted

    @property
    def log(self) -> Path:
        """What the last submission said."""
        return self.folder / "submit.log"

    @property
    def job(self) -> str:
        """The last submission's name."""
        self.wait(lambda: "submitted raysubmit_" in self.log.read_text(), "submitted")
        found = re.search(r"submitted (raysubmit_\w+)", self.log.read_text())
        assert found is not None
        return found[1]

    def details(self) -> dict[str, Any]:
        """Return what the cluster says of the last submission."""
        return self.cluster.ask(f"/api/jobs/{self.job}").json()

    def kept(self) -> dict[str, int]:
        """Return the published rows by outcome, over all tries."""
        outcomes: dict[str, int] = {}
        for path in self.run.glob("traces/*.parquet"):
            for outcome in pq.read_table(path, columns=["outcome"])["outcome"].to_pylist():
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return outcomes

    def counted(self) -> Count:
        """Return what the run holds."""
        return count(self.run)

    def wait_for_leases(self, more: int) -> None:
        """Wait until so many further leases are published: then calls are in flight."""
        folder = self.run / "traces"
        goal = len(list(folder.glob("*.parquet"))) + more
        self.wait(lambda: len(list(folder.glob("*.parquet"))) >= goal, f"{goal} leases")

    def wait(self, true: Callable[[], object], what: str) -> None:
        """Wait until `true`; where that fails, show what the last submission said."""
        *_, submitted = self.submissions

        def over() -> bool:
            return submitted.poll() is not None

        try:
            wait_until(lambda: true() or over(), JOB_S, what)
            assert true(), f"the job ended before {what}"
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.log.read_text()[-4000:]}") from None

    def driver(self) -> psutil.Process:
        """Return the process that runs the job."""
        for process in self.cluster.descendants():
            words = process.cmdline()
            if words[1:3] == ["-m", "ray_jobs.run"]:
                return process
        raise AssertionError("the job has no driver")


def project(folder: Path, cluster: Cluster) -> Project:
    """Return an empty project."""
    (folder / "shared").mkdir(parents=True)
    return Project(folder, cluster)


def finish(submitted: subprocess.Popen[str], timeout_s: float = JOB_S) -> int:
    """Return the exit code of a submission."""
    return submitted.wait(timeout_s)


def tell(what: str, **figures: object) -> None:
    """Print figures where a person who asks for them (`pytest -s`) finds them."""
    print(json.dumps({"what": what, **figures}), flush=True)


def since(started: float) -> float:
    """Return the seconds since, for a figure."""
    return round(time.monotonic() - started, 1)
