"""How a run stands, from storage alone: no driver is asked and nothing is loaded."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from synth import storage
from synth.errors import BadInput
from synth.ledger import LeaseCounts, finished, planned, read_counts, read_traces
from synth.progress import read_progress
from synth.records import Outcome
from synth.rounds import Cell
from synth.run import CONFIG_FILE, Run, read_config
from synth.stage import Manifest, read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The last sign of life of a driver.

    Attributes:
        stage: What it worked on.
        ended: Whether it was done with that.
        age_s: Seconds since.
        done: Rows it had ended.
        planned: Rows it was to end.
        tokens_per_s: Output tokens, over the whole stage so far.
        left_s: Time left at its rate; None where it has ended, or ended no row yet.
    """

    stage: str
    ended: bool
    age_s: float
    done: int
    planned: int
    tokens_per_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a run stands.

    Attributes:
        run: Its directory.
        leases_done: Leases whose file exists.
        leases_planned: Leases of all rounds.
        rows_planned: Their rows.
        outcomes: Items by the outcome of their highest try.
        retried: Rows that were a second or later try.
        output_tokens: Tokens that all tries made.
        curated: Manifests by policy.
        beat: The last sign of life; None where no driver has worked here.
    """

    run: str
    leases_done: int
    leases_planned: int
    rows_planned: int
    outcomes: Mapping[str, int]
    retried: int
    output_tokens: int
    curated: Mapping[str, Manifest]
    beat: Beat | None

    def accepted(self, policy: str) -> int:
        """Return the rows accepted under a policy."""
        return sum(self.curated[policy]["accepted"].values())

    def tokens_per_accepted(self, policy: str) -> float | None:
        """Return what an accepted row cost in output tokens; None before the first."""
        accepted = self.accepted(policy)
        return self.output_tokens / accepted if accepted else None


class Footers:
    """Reads the footer of every finished lease, once."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._seen: dict[str, LeaseCounts] = {}

    def read(self) -> list[LeaseCounts]:
        """Return the counts of every lease that is finished by now."""
        for name in finished(self._run):
            if name not in self._seen:
                self._seen[name] = read_counts(self._run, name)
        return list(self._seen.values())


def read_status(run: str, footers: Footers | None = None) -> Status:
    """Return how `run` stands.

    Args:
        run: Its directory.
        footers: What has been read before, for who asks again and again.

    Raises:
        BadInput: It is no run directory.
    """
    check_is_run(run)
    counts = (footers or Footers(run)).read()
    leases = planned(run)
    return Status(
        run=run,
        leases_done=len(counts),
        leases_planned=len(leases),
        rows_planned=sum(lease.num_rows for lease in leases),
        outcomes=_outcomes(run, counts),
        retried=sum(one.retried for one in counts),
        output_tokens=sum(one.output_tokens for one in counts),
        curated=_curated(run),
        beat=_beat(run),
    )


def check_is_run(run: str) -> None:
    """Check that `run` is a run directory.

    Raises:
        BadInput: It has no `config.yaml` of ours.
    """
    if not read_config(run):
        rule = f"must be a run directory, with a {CONFIG_FILE}"
        raise BadInput(file=storage.join(run, CONFIG_FILE), field="run", value=run, rule=rule)


def shortfalls(run: Run, accepted: Mapping[Cell, int]) -> Iterator[str]:
    """Yield what was asked of a run and is not there, although nothing is left to do.

    Args:
        run: The run.
        accepted: Accepted traces by recipe, label and category; looked at under a quota.
    """
    states = Counter(read_traces(run.workspace, columns=["outcome"])["outcome"].to_pylist())
    yield from too_many_failed("rows", states, run.config.limits.allow_failed)
    if (quota := run.config.accepted) is None:
        return
    kinds = sorted({(seed.label, seed.category) for seed in run.train})
    for recipe in run.recipes:
        for label, category in kinds:
            have = accepted.get((recipe, label, category), 0)
            if have < quota.per_category:
                yield f"{recipe}, {label}, {category}: {have} of {quota.per_category} accepted"


def too_many_failed(what: str, outcomes: Mapping[str, int], allowed: float) -> Iterator[str]:
    """Yield a line where a larger share than `allowed` of the outcomes is `failed`."""
    failed, total = outcomes.get(Outcome.FAILED, 0), sum(outcomes.values())
    if total and failed / total > allowed:
        yield f"{failed} of {total} {what} failed, {allowed:.1%} allowed (limits.allow_failed)"


def _outcomes(run: str, counts: list[LeaseCounts]) -> Counter[str]:
    """Return items by state. Footers count tries, so a run with retries is read row by row."""
    if any(one.retried for one in counts):
        return Counter(read_traces(run, columns=["outcome"])["outcome"].to_pylist())
    outcomes: Counter[str] = Counter()
    for one in counts:
        for key, rows in one.by.items():
            outcomes[key.rpartition("/")[2]] += rows
    return outcomes


def _curated(run: str) -> dict[str, Manifest]:
    folder = storage.join(run, "curated")
    found = {
        name: read_manifest(storage.join(folder, name)) for name in storage.list_folders(folder)
    }
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def _beat(run: str) -> Beat | None:
    beat = read_progress(run)
    if beat is None:
        return None
    done, elapsed_s = sum(beat["outcomes"].values()), beat["at"] - beat["started_at"]
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    left = max(0, beat["rows_planned"] - done)
    return Beat(
        stage=beat["stage"],
        ended=beat["ended"],
        age_s=max(0.0, time.time() - beat["at"]),
        done=done,
        planned=beat["rows_planned"],
        tokens_per_s=beat["output_tokens"] / elapsed_s if elapsed_s > 0 else 0.0,
        left_s=left / rate if rate and not beat["ended"] else None,
    )
