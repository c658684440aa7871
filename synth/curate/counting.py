"""What curation would keep of a run so far, counted while the run goes on.

What the rules make of a trace alone never changes, so each finished lease is read once, and a
narrow row stays of each trace that they let pass. The passes that compare traces go over the
narrow rows at every count. The counts are those of the curation that would follow.
"""

import builtins
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from guidelines import GuidelineSet
from synth.calls.aio import check_wanted
from synth.config.schema import SynthConfig
from synth.curate.arms import Arm, last_step_varies, make_arms
from synth.curate.curation import read_parts
from synth.curate.local import MEASURED
from synth.curate.passes import Surroundings, compare_candidates
from synth.curate.policy import load_policy
from synth.curate.rules import NOTHING_EXCLUDED, Drop
from synth.curate.select import COLUMNS, Candidates, Part
from synth.curate.supply import Supply, hold_tested
from synth.measures import ensure_measures
from synth.measures.store import Map
from synth.quota import Samples
from synth.recipes.base import Recipe
from synth.records import Cell, Outcome, Seed
from synth.workspace.workspace import Workspace

_BALANCING = (Drop.UNBALANCED, Drop.LESS_DIVERSE)
_ENDED = ("recipe", "label", "category", "sample_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedCount:
    """A count.

    Attributes:
        accepted: Supervised rows that curation would make now.
        samples: What became of each cell's candidates, by sample index. Kept are traces that
            only the balance among cells may drop yet: more of this cell would not change that.
        full: Recipe and seed where a seed has all the rows that the policy keeps of it.
        supply: The seeds that further candidates may come from.
    """

    accepted: Counter[Cell]
    samples: Mapping[Cell, Sequence[Samples]]
    full: AbstractSet[tuple[str, str]]
    supply: Supply


class Counting:
    """Counts what curation would keep, of all leases that are finished by then.

    Args:
        config: Names the policy.
        workspace: Of the run.
        recipes: By name; they are the arms.
        seeds: The training seeds.
        evaluation_prompts: What students are tested on, by id.
        guideline_sets: What the traces were conditioned on.
        find_excluded: Returns which traces can not be used now, and why, by `row_id`.
        map: Runs the missing measures, one task a lease.

    Attributes:
        last: The last count; None before the first.

    Raises:
        BadInput: The policy is unusable.
    """

    def __init__(
        self,
        config: SynthConfig,
        workspace: Workspace,
        *,
        recipes: Mapping[str, Recipe],
        seeds: Iterable[Seed],
        evaluation_prompts: Mapping[str, str],
        guideline_sets: Sequence[GuidelineSet],
        find_excluded: Callable[[], Mapping[str, Drop]] = lambda: NOTHING_EXCLUDED,
        map: Map = builtins.map,
    ) -> None:
        self._workspace, self._recipes = workspace, recipes
        self._policy = load_policy(config.curate.policy)
        self._evaluation_prompts, self._sets = evaluation_prompts, guideline_sets
        self._seeds, self._find_excluded, self._map = seeds, find_excluded, map
        self._known = _Known(arms=make_arms(recipes), excluded=NOTHING_EXCLUDED)
        self.last: AcceptedCount | None = None

    def __call__(self) -> AcceptedCount:
        """Return the count; it is made anew only where something has been finished since."""
        if self.look() or self.last is None:
            self.last = self._count()
        return self.last

    def look(self) -> bool:
        """Read what has been finished since the last look; say whether that changes the count."""
        leases, excluded = self._workspace.finished(), self._find_excluded()
        new = [lease for lease in leases if lease not in self._known.leases]
        if not new and excluded == self._known.excluded:
            return self._known.uncounted
        steps = self._last_steps(new)
        arms = make_arms(self._recipes, [steps] if len(steps) else None)
        if self._must_start_over(new, arms, excluded):
            self._known, new = _Known(arms=arms, excluded=excluded), leases
        self._known.steps, self._known.uncounted = steps, True
        self._read(new)
        return True

    @cached_property
    def _supply(self) -> Supply:
        tested = hold_tested(self._policy, self._evaluation_prompts)
        supply = Supply(self._seeds, self._policy, tested)
        supply.take(_planned_seeds(self._workspace))
        return supply

    def _last_steps(self, new: Sequence[str]) -> pa.Table:
        """Return recipes and steps that have traces, where it matters which is the last."""
        if not any(map(last_step_varies, self._recipes.values())):
            return self._known.steps
        streamed = self._workspace.stream_traces(new, ("recipe", "step"))
        tables = [self._known.steps, *(table for _, table in streamed)]
        return pa.concat_tables(tables).group_by(["recipe", "step"]).aggregate([])

    def _must_start_over(
        self, new: Sequence[str], arms: Mapping[str, Arm], excluded: Mapping[str, Drop]
    ) -> bool:
        """Say whether something has been decided otherwise since, of leases that are known."""
        known = self._known
        if known.excluded != excluded or _supervised(known.arms) != _supervised(arms):
            return True
        return bool(known.leases and self._workspace.plan().last_tries(new))

    def _read(self, leases: Sequence[str]) -> None:
        """Judge traces by themselves, a lease at a time."""
        revisions = ensure_measures(self._workspace, MEASURED, self._sets, self._while_wanted)
        columns = (*COLUMNS, "trace_index")
        arms = self._known.arms
        parts = read_parts(self._workspace, leases, arms, self._policy, revisions, columns)
        for lease, part in zip(leases, parts, strict=True):
            check_wanted()
            self._known.candidates.add(part, self._policy, arms, self._known.excluded)
            self._known.ended.update(_ended(part))
            self._known.leases.add(lease)

    def _while_wanted(self, task: Callable[[str], None], leases: Iterable[str]) -> Iterator[None]:
        for done in self._map(task, leases):
            check_wanted()
            yield done

    def _count(self) -> AcceptedCount:
        accepted, kept = Counter[Cell](), Counter[tuple[Cell, int]]()
        places = Counter[tuple[str, str]]()
        found = self._known.candidates
        for name, arm in self._known.arms.items():
            check_wanted()
            around = Surroundings(
                self._policy,
                found.texts,
                self._evaluation_prompts,
                arm.recipe.max_rows,
                found.looks,
                self._supply.apart,
            )
            dropped = compare_candidates(found.of_arm[name], around)
            for candidate in found.of_arm[name]:
                cell = (name, candidate.label, candidate.category)
                drop = dropped.get(candidate.row_id)
                accepted[cell] += drop is None
                if drop is None or drop.reason in _BALANCING:
                    kept[cell, candidate.sample_index] += 1
                    places[name, candidate.seed_id] += 1
        full = {seed for seed, rows in places.items() if rows >= self._policy.per_prompt}
        samples = _by_sample(self._known.ended, kept)
        self._known.uncounted = False
        return AcceptedCount(accepted=+accepted, samples=samples, full=full, supply=self._supply)


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is known of the leases read so far.

    Attributes:
        leases: Their names.
        candidates: Their traces that the rules let pass.
        ended: Their candidates towards a quota, by cell and sample index.
        arms: As which they were read.
        excluded: Their traces that can not be used.
        steps: The recipes and steps that have traces.
        uncounted: Whether some have been read since the last count.
    """

    arms: Mapping[str, Arm]
    excluded: Mapping[str, Drop]
    leases: set[str] = field(default_factory=set)
    candidates: Candidates = field(default_factory=Candidates)
    ended: Counter[tuple[Cell, int]] = field(default_factory=Counter)
    steps: pa.Table = field(
        default_factory=pa.schema([("recipe", pa.string()), ("step", pa.int32())]).empty_table
    )
    uncounted: bool = False


def _supervised(arms: Mapping[str, Arm]) -> dict[str, int | None]:
    return {name: arm.supervised for name, arm in arms.items()}


def _planned_seeds(workspace: Workspace) -> set[str]:
    return {seed for table in workspace.candidates() for seed in table["seed_id"].to_pylist()}


def _ended(part: Part) -> Iterator[tuple[Cell, int]]:
    """Yield the cell and sample index of each item of a first step that has ended."""
    first = (pc.field("step") == 0) & (pc.field("trace_index") == 0)
    ended = part.traces.filter(first & (pc.field("outcome") != str(Outcome.INTERRUPTED)))
    columns = (ended[name].to_pylist() for name in _ENDED)
    for recipe, label, category, sample_index in zip(*columns, strict=True):
        yield (recipe, label, category), sample_index


def _by_sample(
    ended: Mapping[tuple[Cell, int], int], kept: Mapping[tuple[Cell, int], int]
) -> dict[Cell, list[Samples]]:
    samples: dict[Cell, list[Samples]] = {}
    for cell, index in sorted({*ended, *kept}):
        found = Samples(ended.get((cell, index), 0), kept.get((cell, index), 0))
        samples.setdefault(cell, []).append(found)
    return samples
