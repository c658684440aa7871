"""Selection: which traces of a run become supervised rows, and why the others do not.

Traces come a part at a time. What stays of each is a narrow row: the passes compare traces with
each other, by all but their texts; of texts, each candidate's seed's is held once.

What is selected depends on the traces of the supervised steps alone: later steps may add traces
and the rows stay the same.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from synth.curate.arms import Arm
from synth.curate.closer import Look, Looks
from synth.curate.local import COLUMNS as LOCAL_COLUMNS
from synth.curate.local import decide_all
from synth.curate.passes import Candidate, Surroundings, compare_candidates
from synth.curate.policy import Policy
from synth.curate.rules import NOTHING_EXCLUDED, Drop, Dropped, Facts
from synth.records import TRACES, unpack_context

# All a selection needs of the traces: none of their long texts.
COLUMNS = (
    *LOCAL_COLUMNS,
    *("seed_id", "prompt", "context", "label", "category", "pair", "sample_index"),
)
_STAYING = ("row_id", "recipe", "outcome", "step", "seed_id", "label", "category", "pair")
_LOOKED_AT = (*_STAYING, "context", "prompt", "sample_index")

DROPS = pa.schema(
    [
        ("row_id", pa.string()),
        ("seed_id", pa.string()),
        ("arm", pa.string()),
        ("step", pa.int32()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


class Part(NamedTuple):
    """Some of the traces.

    Attributes:
        traces: Columns `COLUMNS` at least.
        measures: Their judgements by measure.
        looks: What a closer look told of them, where one was due.
    """

    traces: pa.Table
    measures: Mapping[str, pa.Table]
    looks: Looks


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of every trace: it is accepted, or paired, or dropped.

    Attributes:
        traces: The traces looked at, in the order of `row_id`, without their texts.
        dropped: `row_id` to the reason; those not in it are accepted, as supervised rows.
        paired: `row_id` of the traces that preference pairs were made of, the accepted ones
            among them too.
    """

    traces: pa.Table
    dropped: Mapping[str, Dropped]
    paired: AbstractSet[str] = field(default_factory=frozenset)

    @property
    def accepted(self) -> pa.Table:
        """The traces that are supervised rows, whether in pairs or not."""
        return self._where(lambda row_id: row_id not in self.dropped)

    @property
    def only_paired(self) -> pa.Table:
        """The traces that are in pairs and are no supervised rows."""
        return self._where(lambda row_id: row_id in self.dropped and row_id in self.paired)

    @property
    def drops(self) -> pa.Table:
        """The others with their reasons, in the order of `row_id`, schema `DROPS`."""
        lost = self._where(lambda row_id: row_id in self.dropped and row_id not in self.paired)
        reasons = [self.dropped[row_id] for row_id in lost["row_id"].to_pylist()]
        columns = [
            *(lost[name] for name in ("row_id", "seed_id", "recipe", "step")),
            pa.array([d.reason.value for d in reasons], pa.string()),
            pa.array([d.detail for d in reasons], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=DROPS)

    def _where(self, holds: Callable[[str], bool]) -> pa.Table:
        row_ids = self.traces["row_id"].to_pylist()
        return self.traces.filter(pa.array(map(holds, row_ids), pa.bool_()))


def select(
    parts: Iterable[Part],
    policy: Policy,
    *,
    arms: Mapping[str, Arm],
    evaluation_prompts: Mapping[str, str],
    excluded: Mapping[str, Drop] = NOTHING_EXCLUDED,
) -> Selection:
    """Decide about every trace: by itself first, then among the candidates of its arm.

    Args:
        parts: The highest try of every item, in any parts.
        policy: The rules.
        arms: By name; those of all traces.
        evaluation_prompts: What students are tested on, by id.
        excluded: `row_id` of traces that cannot be used, and why.
    """
    found = Candidates()
    dropped: dict[str, Dropped] = {}
    staying = [_NOTHING]
    for part in parts:
        staying.append(part.traces.select(_STAYING))
        dropped |= found.add(part, policy, arms, excluded)
    for name, arm in arms.items():
        max_rows = arm.recipe.max_rows
        around = Surroundings(policy, found.texts, evaluation_prompts, max_rows, found.looks)
        dropped |= compare_candidates(found.of_arm[name], around)
    looked_at = pa.concat_tables(staying)
    return Selection(looked_at.sort_by("row_id").combine_chunks(), dropped)


def users_text(context: str | None, prompt: str) -> str:
    """Return the users' turns of a conversation as one text, which prompts are compared by."""
    turns = [m["content"] for m in unpack_context(context) if m["role"] == "user"]
    return "\n".join([*turns, prompt])


@dataclass(slots=True)
class Candidates:
    """The traces that nothing speaks against by themselves, as far as traces were looked at.

    Attributes:
        of_arm: Their narrow rows, by arm.
        texts: Their prompts by seed.
        looks: Of those among which diversity chooses.
    """

    of_arm: defaultdict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, str] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)

    def add(
        self,
        part: Part,
        policy: Policy,
        arms: Mapping[str, Arm],
        excluded: Mapping[str, Drop],
    ) -> dict[str, Dropped]:
        """Look at each trace alone, and add those that pass; return the others, and why."""
        dropped: dict[str, Dropped] = {}
        decided = decide_all(part.traces, part.measures, policy, arms, part.looks, excluded)
        rows = part.traces.select(_LOOKED_AT).to_pylist()
        for row, (facts, drop) in zip(rows, decided, strict=True):
            if drop is not None:
                dropped[row["row_id"]] = drop
                continue
            candidate = _candidate(row, facts)
            self.of_arm[row["recipe"]].append(candidate)
            if candidate.seed_id not in self.texts:
                self.texts[candidate.seed_id] = users_text(row["context"], row["prompt"])
            if arms[row["recipe"]].recipe.max_rows is not None:
                self.looks[candidate.row_id] = part.looks[candidate.row_id]
        return dropped


_NOTHING = pa.schema([TRACES.field(name) for name in _STAYING]).empty_table()


def _candidate(row: Mapping[str, Any], facts: Facts) -> Candidate:
    seed_id = sys.intern(row["seed_id"])  # one text for all of a seed's traces
    return Candidate(
        row_id=row["row_id"],
        seed_id=seed_id,
        group=sys.intern(row["pair"] or seed_id),
        label=sys.intern(row["label"]),
        category=sys.intern(row["category"]),
        consistent=facts.consistency == "consistent",
        repeated_share=facts.repeated_share,
        num_words=facts.reasoning_words + facts.answer_words,
        sample_index=row["sample_index"],
    )
