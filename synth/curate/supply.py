"""What seeds and a policy can give a quota, before and while traces are made.

Curation drops traces of a prompt that is near an evaluation's, all but one of prompts of one label
that are near each other, and what is beyond `per_prompt` of a seed. So a cell gives at most
`per_prompt` rows of each seed that is *apart*: near no evaluation prompt, and no other seed taken.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from synth.calls.aio import check_wanted
from synth.config.schema import Accepted
from synth.curate.arms import make_arms
from synth.curate.policy import Policy
from synth.curate.select import users_text
from synth.errors import BadInput
from synth.recipes.base import Recipe
from synth.records import Seed, pack_context
from synth.seeds.near_duplicates import Index, Sketch, sketches

CellOfSeeds = tuple[str, str]  # label and category
_SKETCHED_AT_ONCE = 32


def hold_tested(policy: Policy, evaluation_prompts: Mapping[str, str]) -> Index:
    """Return the prompts that students are tested on, to compare seeds with."""
    return Index(policy.decontaminate, sketches(evaluation_prompts))


class Supply:
    """The seeds that are apart, found as far as they are asked for.

    Args:
        seeds: The training seeds.
        policy: The rules.
        tested: What students are tested on, see `hold_tested`.

    Attributes:
        apart: The seeds taken, as far as none is near another one or an evaluation prompt.
    """

    def __init__(self, seeds: Iterable[Seed], policy: Policy, tested: Index) -> None:
        self.apart: set[str] = set()
        self._policy = policy
        self._tested = tested
        self._held: dict[str, Index] = {}
        self._taken: dict[CellOfSeeds, list[Seed]] = {}
        self._left: dict[CellOfSeeds, list[Seed]] = {}
        for seed in sorted(seeds, key=lambda seed: seed.seed_id, reverse=True):
            self._left.setdefault((seed.label, seed.category), []).append(seed)
        self._found = {cell: self._find(*cell) for cell in self._left}

    @property
    def cells(self) -> list[CellOfSeeds]:
        """Label and category of the seeds, sorted."""
        return sorted(self._left)

    def take(self, seed_ids: Collection[str]) -> None:
        """Take seeds that have candidates already, whatever they are near to."""
        for cell, left in self._left.items():
            chosen = [seed for seed in reversed(left) if seed.seed_id in seed_ids]
            left[:] = [seed for seed in left if seed.seed_id not in seed_ids]
            for seed, sketch in _sketched(chosen):
                self._take(cell, seed, sketch, apart=not self._is_near(cell[0], sketch))

    def seeds(self, label: str, category: str) -> Iterator[Seed]:
        """Yield the cell's taken seeds, and take more as long as there are any."""
        cell = (label, category)
        taken, at = self._taken.setdefault(cell, []), 0
        while at < len(taken) or next(self._found[cell], None) is not None:
            yield taken[at]
            at += 1

    def most(self, label: str, category: str) -> int:
        """Return how many rows a cell can give at most; fewer once more of its seeds are known."""
        cell = (label, category)
        seeds = len(self._taken.get(cell, ())) + len(self._left[cell])
        return _capped(seeds * self._policy.per_prompt, self._policy)

    def _find(self, label: str, category: str) -> Iterator[Seed]:
        """Yield the cell's next seeds that are apart, taking them."""
        cell = (label, category)
        left = self._left[cell]
        while left:
            check_wanted()
            for seed, sketch in _sketched(left[: -_SKETCHED_AT_ONCE - 1 : -1]):
                left.pop()
                if not self._is_near(label, sketch):
                    self._take(cell, seed, sketch, apart=True)
                    yield seed

    def _is_near(self, label: str, sketch: Sketch) -> bool:
        held = self._held.setdefault(label, Index(self._policy.near_duplicate))
        return any(index.first_match(sketch) is not None for index in (self._tested, held))

    def _take(self, cell: CellOfSeeds, seed: Seed, sketch: Sketch, *, apart: bool) -> None:
        self._taken.setdefault(cell, []).append(seed)
        self._held[cell[0]].add(sketch)
        if apart:
            self.apart.add(seed.seed_id)


def check_quota(
    quota: Accepted,
    policy: Policy,
    recipes: Mapping[str, Recipe],
    seeds: Sequence[Seed],
    evaluation_prompts: Mapping[str, str],
) -> None:
    """Check that a quota can be met, if every trace is fit and the prompts are all that limit it.

    Args:
        quota: What is asked for.
        policy: The rules.
        recipes: Those that a quota counts the rows of, by name.
        seeds: The training seeds.
        evaluation_prompts: What students are tested on, by id.

    Raises:
        BadInput: A cell can never give so many rows, or the budget is smaller than what is asked.
    """
    cells = {(seed.label, seed.category) for seed in seeds}
    asked = quota.per_category
    for name, arm in make_arms(recipes).items():
        if arm.supervised is None:
            raise _unreachable(asked, 0, name, "it has no supervised rows, and only these count")
        if (most := arm.recipe.max_rows) is not None and most < asked * len(cells):
            why = f"the recipe keeps {most:,} rows in {len(cells)} cells"
            raise _unreachable(asked, most // len(cells), name, why)
    if recipes:
        tested = hold_tested(policy, evaluation_prompts)
        _check_seeds(asked, policy, ", ".join(recipes), seeds, tested)
    if quota.budget < (least := asked * len(cells) * len(recipes)):
        rule = f"must be at least {least:,}, what the quota asks for: accepted.per_category of "
        rule += f"{len(cells)} cells of each of {len(recipes)} recipes"
        raise BadInput(file="config", field="accepted.budget", value=quota.budget, rule=rule)


def _check_seeds(
    asked: int, policy: Policy, recipes: str, seeds: Sequence[Seed], tested: Index
) -> None:
    """Check that the prompts of each cell, and those of each label together, suffice."""
    of_cells: dict[CellOfSeeds, list[Seed]] = {}
    of_labels: dict[str, list[Seed]] = {}
    for seed in seeds:
        of_cells.setdefault((seed.label, seed.category), []).append(seed)
        of_labels.setdefault(seed.label, []).append(seed)
    possible = {
        cell: _capped(_most_rows(asked, found, policy, tested), policy)
        for cell, found in of_cells.items()
    }
    worst = min(sorted(possible), key=lambda cell: possible[cell], default=None)
    if worst is not None and possible[worst] < asked:
        why = f"{len(of_cells[worst])} seeds, less those too near others or an evaluation prompt, "
        why += f"of {policy.per_prompt} rows each (per_prompt of the policy, and its category_cap)"
        raise _unreachable(asked, possible[worst], ", ".join((recipes, *worst)), why)
    for label, found in of_labels.items():
        cells = sum(cell[0] == label for cell in of_cells)
        most = _most_rows(asked * cells, found, policy, tested)
        if most < asked * cells:
            why = f"seeds of its {cells} categories are near each other: {most:,} rows in all"
            raise _unreachable(asked, most // cells, f"{recipes}, {label}", why)


def _most_rows(enough: int, seeds: Sequence[Seed], policy: Policy, tested: Index) -> int:
    """Return how many rows curation keeps of seeds whose traces are all fit, or `enough`."""
    together = (replace(seed, category="") for seed in seeds)
    supply = Supply(together, policy, tested)
    seeds_needed = -(-enough // policy.per_prompt)
    found = sum(1 for _ in islice(supply.seeds(seeds[0].label, ""), seeds_needed))
    return min(enough, found * policy.per_prompt)


def _capped(rows: int, policy: Policy) -> int:
    cap = policy.balance.category_cap
    return rows if cap is None else min(rows, cap)


def _unreachable(asked: int, possible: int, where: str, why: str) -> BadInput:
    rule = f"must be at most {possible:,}, all that is possible of {where}: {why}"
    return BadInput(file="config", field="accepted.per_category", value=asked, rule=rule)


def _sketched(seeds: Sequence[Seed]) -> Iterator[tuple[Seed, Sketch]]:
    """Yield seeds with the sketches of their prompts, in the order of `seed_id`."""
    by_id = {seed.seed_id: seed for seed in seeds}
    texts = {seed.seed_id: users_text(pack_context(seed.context), seed.prompt) for seed in seeds}
    for sketch in sketches(texts):
        yield by_id[sketch.key], sketch
