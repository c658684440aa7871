"""A closer look at traces, for what their long texts and payloads tell.

Selection reads narrow columns. Only where a recipe has a rule of its own or wants a diverse set,
or where the policy chooses sections, are the other columns of its supervised step read too, a
lease at a time; little of them stays.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from synth.curate.arms import Arm
from synth.curate.policy import Policy
from synth.curate.shards import chosen_sections
from synth.judges.reading import words
from synth.records import TRACES, Outcome, TraceRow
from synth.workspace.leases import read_lease

_FEW = ("row_id", "recipe", "step", "outcome", "category", "source", "payload")


class Look(NamedTuple):
    """What is kept of a closer look at one trace.

    Attributes:
        rejected: Why the recipe's own rule does not keep it; empty where it does.
        reasoning_words: Length of the sections that the policy chose; None where it chose none.
        source: Where its prompt came from.
        categories: Of the prompt: the payload's `categories`, or else the seed's one.
    """

    rejected: str
    reasoning_words: int | None
    source: str
    categories: tuple[str, ...]


Looks = Mapping[str, Look]


def looked_into(arms: Mapping[str, Arm], policy: Policy) -> list[Arm]:
    """Return the arms whose supervised step's traces need a closer look."""
    return [
        arm
        for arm in arms.values()
        if arm.supervised is not None
        and (policy.sections or arm.recipe.keep or arm.recipe.max_rows is not None)
    ]


def look_closer(traces: pa.Table, arms: Sequence[Arm], policy: Policy) -> Looks:
    """Look at the `ok` traces of the arms' supervised steps; return by `row_id` what they tell."""
    looks: dict[str, Look] = {}
    for arm in arms:
        of_step = (pc.field("recipe") == arm.recipe.name) & (pc.field("step") == arm.supervised)
        for row in traces.filter(of_step & (pc.field("outcome") == str(Outcome.OK))).to_pylist():
            looks[row["row_id"]] = _look(row, arm, policy)
    return looks


def look_into_lease(folder: str, arms: Sequence[Arm], policy: Policy, lease: str) -> Looks:
    """Do the same for one lease's file, whatever its tries."""
    if not arms:
        return {}
    columns = TRACES.names if any(arm.recipe.keep for arm in arms) else list(_FEW)
    return look_closer(read_lease(folder, lease, columns), arms, policy)


def _look(row: TraceRow, arm: Arm, policy: Policy) -> Look:
    keep, payload = arm.recipe.keep, json.loads(row["payload"] or "{}")
    chosen = chosen_sections(payload, policy)
    return Look(
        rejected=(keep(row) or "") if keep else "",
        reasoning_words=None if chosen is None else len(words(chosen)),
        source=row["source"],
        categories=tuple(payload.get("categories") or [row["category"]]),
    )
