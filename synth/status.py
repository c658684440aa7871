"""How a run stands, from storage alone: no driver is asked and nothing is loaded."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from synth import storage
from synth.calls.usage import Cost, cost, read_usage
from synth.curate.counting import Counting
from synth.drive.holder import read_progress
from synth.drive.notes import read_accepted, read_barren
from synth.errors import BadInput
from synth.records import Cell, Outcome
from synth.rounds import barren_cells, quota_tallies
from synth.run import CONFIG_FILE, Run, read_config, workspace_of
from synth.workspace.leases import LeaseCounts
from synth.workspace.stage import Manifest, read_manifest
from synth.workspace.workspace import Workspace, batch_folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The last sign of life of a driver.

    Attributes:
        stage: What it worked on.
        ended: Whether it was done with that.
        age_s: Seconds since, by the clocks of two machines; never negative.
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
        kinds: Rows of every recipe, label and category by outcome, every try counted.
        accepted_so_far: Accepted rows of each, by a quota's last count; None without one.
        barren: Cells that a quota has given up, and how many candidates in a row gave nothing.
        retried: Rows that were a second or later try.
        output_tokens: Tokens that all tries made, as far as they were counted.
        uncounted: Calls whose server counted no tokens.
        cost: What the calls cost so far, at the prices in `config.yaml`; None without prices.
        curated: Manifests by policy.
        batches: Items by outcome in each batch beside the run, with those owed as `owed`.
        beat: The last sign of life; None where no driver has worked here.
    """

    run: str
    leases_done: int
    leases_planned: int
    rows_planned: int
    outcomes: Mapping[str, int]
    kinds: Mapping[Cell, Mapping[str, int]]
    accepted_so_far: Mapping[Cell, int] | None
    barren: Mapping[Cell, int]
    retried: int
    output_tokens: int
    uncounted: int
    cost: Cost | None
    curated: Mapping[str, Manifest]
    batches: Mapping[str, Mapping[str, int]]
    beat: Beat | None

    def accepted(self, policy: str) -> int:
        """Return the rows accepted under a policy."""
        return sum(self.curated[policy]["accepted"].values())

    def tokens_per_accepted(self, policy: str) -> float | None:
        """Return what an accepted row took in output tokens.

        Returns:
            None before the first, and where servers did not count: it is undetermined then.
        """
        accepted = self.accepted(policy)
        return self.output_tokens / accepted if accepted and not self.uncounted else None

    def cost_per_accepted(self, policy: str) -> float | None:
        """Return what an accepted row cost, in the currency of the prices; None as above."""
        accepted = self.accepted(policy)
        if self.cost is None or self.cost.total is None or not accepted:
            return None
        return self.cost.total / accepted


def read_status(run: str, opened: Callable[[str], Workspace] = Workspace) -> Status:
    """Return how `run` stands.

    Args:
        run: Its directory.
        opened: Gives the workspace of a folder; who asks again and again keeps them.

    Raises:
        BadInput: It is no run directory, or holds a damaged file.
    """
    check_is_run(run)
    workspace = opened(workspace_of(run))
    counts, leases = workspace.counts(), workspace.plan().leases
    usage = read_usage(one.usage for one in counts)
    return Status(
        run=run,
        leases_done=len(counts),
        leases_planned=len(leases),
        rows_planned=sum(lease.num_rows for lease in leases),
        outcomes=workspace.outcomes(),
        kinds=_kinds(counts),
        accepted_so_far=read_accepted(run),
        barren=read_barren(run),
        retried=sum(one.retried for one in counts),
        output_tokens=sum(one.output_tokens for one in counts),
        uncounted=sum(one.uncounted for one in usage.values()),
        cost=cost(usage, read_config(run)),
        curated=_curated(run),
        batches={name: _batch(opened(folder)) for name, folder in batch_folders(run).items()},
        beat=_beat(run),
    )


def check_is_run(run: str) -> None:
    """Check that `run` is a run directory.

    Raises:
        BadInput: It has no `config.yaml` of ours.
    """
    if not read_config(run):
        inside = [n for n in storage.list_folders(run) if read_config(storage.join(run, n))]
        rule = f"must be a run directory, with a {CONFIG_FILE}"
        rule += f"; it holds those of {', '.join(inside)}" if inside else ""
        raise BadInput(file=storage.join(run, CONFIG_FILE), field="run", value=run, rule=rule)


def shortfalls(run: Run, counting: Counting | None = None) -> Iterator[str]:
    """Yield what was asked of a run and is not there, although nothing is left to do.

    Args:
        run: The run.
        counting: Counts what is accepted; a quota needs it.
    """
    outcomes = run.workspace.outcomes()
    yield from too_many_failed("rows", outcomes, run.config.limits.allow_failed)
    yield from _none_finished(outcomes)
    if (quota := run.config.accepted) is None:
        return
    assert counting is not None, "a quota is counted"
    found = counting()
    barren = barren_cells(run, found)
    for cell in sorted(quota_tallies(run, found)):
        have = found.accepted[cell]
        if have < quota.per_category:
            why = f"; its last {barren[cell]} candidates gave nothing" if cell in barren else ""
            yield f"{', '.join(cell)}: {have} of {quota.per_category} accepted{why}"


def too_many_failed(what: str, outcomes: Mapping[str, int], allowed: float) -> Iterator[str]:
    """Yield a line where a larger share than `allowed` of the outcomes is `failed`."""
    failed, total = outcomes.get(Outcome.FAILED, 0), sum(outcomes.values())
    if total and failed / total > allowed:
        yield f"{failed} of {total} {what} failed, {allowed:.1%} allowed (limits.allow_failed)"


def none_accepted(manifest: Manifest) -> Iterator[str]:
    """Yield a line where no trace became a row or part of a pair: what dropped them."""
    if any(manifest["accepted"].values()) or any(manifest["paired"].values()):
        return
    reasons: Counter[str] = Counter()
    for drops in manifest["drops"].values():
        reasons.update(drops)
    why = ", ".join(f"{rows} {reason}" for reason, rows in reasons.most_common())
    yield f"none of {reasons.total()} traces was accepted: {why}"


def _none_finished(outcomes: Mapping[str, int]) -> Iterator[str]:
    """Yield a line where no row came out, unless that is told by how many failed."""
    total, failed = sum(outcomes.values()), outcomes.get(Outcome.FAILED, 0)
    if failed < total and not outcomes.get(Outcome.OK):
        counts = ", ".join(f"{rows} {name}" for name, rows in sorted(outcomes.items()))
        yield f"none of {total} rows is ok: {counts}"


def _kinds(counts: list[LeaseCounts]) -> dict[Cell, Counter[str]]:
    """Return rows by kind and outcome; only a category may hold a slash of its own."""
    kinds: dict[Cell, Counter[str]] = {}
    for one in counts:
        for key, rows in one.by.items():
            recipe, label, rest = key.split("/", 2)
            category, outcome = rest.rsplit("/", 1)
            kinds.setdefault((recipe, label, category), Counter())[outcome] += rows
    return dict(sorted(kinds.items()))


def _batch(workspace: Workspace) -> Counter[str]:
    """Return a batch's items by state; one whose lease is not done is owed."""
    states = workspace.outcomes()
    if missing := sum(lease.num_rows for lease in workspace.owed()):
        states["owed"] += missing
    return states


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
    done, elapsed_s = sum(beat["outcomes"].values()), beat["elapsed_s"]
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
