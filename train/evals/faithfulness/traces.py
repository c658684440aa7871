"""The traces of a run that faithfulness is measured on, with what they cite."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from guidelines import GuidelineSet
from synth.config.schema import SynthConfig
from synth.digest import digest
from synth.recipes import Recipe
from synth.records import Item, Outcome
from synth.workspace import ledger
from synth.workspace.plan import planned_items
from train.evals.faithfulness.citations import Citations, find_citations
from train.evals.faithfulness_config import FaithfulnessConfig
from train.evals.metrics import PromptCount

_COLUMNS = (
    "row_id",
    "item_id",
    "step",
    "trace_index",
    "seed_id",
    "pair",
    "recipe",
    "outcome",
    "reasoning",
    "answer",
    "payload",
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedTrace:
    """A trace with what it cites.

    Attributes:
        row: The trace.
        item: What it was made from.
        given: The guidelines it was given.
        citations: What it cites of them.
    """

    row: Row
    item: Item
    given: GuidelineSet
    citations: Citations


Shown = tuple[CitedTrace, bool | None]  # a trace, and whether it shows something


def cited_traces(
    config: SynthConfig,
    section: FaithfulnessConfig,
    recipe: Recipe,
    sets: Mapping[str, GuidelineSet],
) -> Iterator[CitedTrace]:
    """Yield whole traces of the recipe's last step, chosen by digest.

    Args:
        config: The run.
        section: How many at most.
        recipe: A guided one.
        sets: Guideline sets by name; traces made under others are passed over.
    """
    leases = ledger.finished(config.workspace)
    whole = (
        row
        for _, table in ledger.stream_traces(config.workspace, leases, _COLUMNS)
        for row in table.to_pylist()
        if row["recipe"] == recipe.name
        and row["step"] == len(recipe.steps) - 1
        and row["outcome"] == Outcome.OK
    )
    rows = heapq.nsmallest(
        section.measured, whole, key=lambda row: digest(section.seed, row["row_id"])
    )
    planned = planned_items(config.workspace, {row["item_id"] for row in rows})
    items = {item.item_id: item for item in planned}
    for row in rows:
        item = items[row["item_id"]]
        if (given := sets.get(item.guidelines)) is not None:
            cited = find_citations(row["reasoning"] or "", given.guidelines)
            yield CitedTrace(row=row, item=item, given=given, citations=cited)


def count_prompts(shown: Iterable[Shown]) -> list[PromptCount]:
    """Count by prompt: traces of one prompt, and of its twin, are not independent."""
    by_prompt: dict[str, list[Shown]] = {}
    for one in shown:
        by_prompt.setdefault(one[0].row["seed_id"], []).append(one)
    return [
        PromptCount(
            origin=origin,
            cluster=of[0][0].row["pair"] or origin,
            hits=sum(shows is True for _, shows in of),
            determined=sum(shows is not None for _, shows in of),
            answers=len(of),
        )
        for origin, of in by_prompt.items()
    ]
