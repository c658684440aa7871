"""Selection: which traces of a run are kept, and why the others are not.

Traces come a part at a time. What stays of each is a narrow row: the passes compare traces with
each other, by all but their texts; of texts, each seed's is held once.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from synth.curate.local import COLUMNS as LOCAL_COLUMNS
from synth.curate.local import decide_all
from synth.curate.passes import Candidate, Surroundings, compare
from synth.curate.policy import Policy
from synth.curate.rules import Dropped
from synth.records import TRACES, unpack_context

# All a selection needs of the traces: none of their long texts.
COLUMNS = (
    *LOCAL_COLUMNS,
    *("step", "seed_id", "prompt", "context", "label", "category", "pair"),
)
_STAYING = ("row_id", "recipe", "outcome", "step", "seed_id", "label", "category", "pair")

Part = tuple[pa.Table, Mapping[str, pa.Table]]  # traces, and their judgements by measure

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


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of every trace.

    Attributes:
        traces: The traces looked at, in the order of `row_id`, without their texts.
        dropped: `row_id` to the reason; those not in it are kept.
    """

    traces: pa.Table
    dropped: Mapping[str, Dropped]

    @property
    def accepted(self) -> pa.Table:
        """The traces that are kept."""
        return self.traces.filter(self._mask(dropped=False))

    @property
    def drops(self) -> pa.Table:
        """The others with their reasons, in the order of `row_id`, schema `DROPS`."""
        lost = self.traces.filter(self._mask(dropped=True))
        reasons = [self.dropped[row_id] for row_id in lost["row_id"].to_pylist()]
        columns = [
            *(lost[name] for name in ("row_id", "seed_id", "recipe", "step")),
            pa.array([d.reason.value for d in reasons], pa.string()),
            pa.array([d.detail for d in reasons], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=DROPS)

    def _mask(self, *, dropped: bool) -> pa.Array:
        row_ids = self.traces["row_id"].to_pylist()
        return pa.array([(row_id in self.dropped) == dropped for row_id in row_ids], pa.bool_())


def select(
    parts: Iterable[Part],
    policy: Policy,
    *,
    formats: Mapping[str, str],
    evaluation_prompts: Mapping[str, str],
) -> Selection:
    """Decide about every trace: by itself first, then among those of its arm.

    Args:
        parts: The highest try of every item, columns `COLUMNS` at least, in any parts.
        policy: The rules.
        formats: Recipe to `think` or `answer`.
        evaluation_prompts: What students are tested on, by id.
    """
    dropped: dict[str, Dropped] = {}
    arms: dict[str, list[Candidate]] = defaultdict(list)
    texts: dict[str, str] = {}
    staying = []
    for traces, measures in parts:
        staying.append(traces.select(_STAYING))
        _note_texts(traces, texts)
        _decide(traces, measures, policy, formats, dropped, arms)
    looked_at = pa.concat_tables(staying) if staying else _NOTHING
    last_steps = looked_at.group_by("recipe").aggregate([("step", "max")]).to_pydict()
    last_step = dict(zip(last_steps["recipe"], last_steps["step_max"], strict=True))
    for arm, candidates in sorted(arms.items()):
        around = Surroundings(policy, texts, evaluation_prompts, last_step[arm])
        dropped |= compare(candidates, around)
    return Selection(looked_at.sort_by("row_id").combine_chunks(), dropped)


_NOTHING = pa.schema([TRACES.field(name) for name in _STAYING]).empty_table()


def _decide(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    formats: Mapping[str, str],
    dropped: dict[str, Dropped],
    arms: dict[str, list[Candidate]],
) -> None:
    """Look at each trace alone: it is `dropped`, or becomes a candidate of its arm."""
    decided = decide_all(traces, measures, policy, formats)
    rows = traces.select(_STAYING).to_pylist()
    for row, (facts, drop) in zip(rows, decided, strict=True):
        if drop is not None:
            dropped[row["row_id"]] = drop
            continue
        seed_id = sys.intern(row["seed_id"])  # one text for all of a seed's traces
        candidate = Candidate(
            row_id=row["row_id"],
            seed_id=seed_id,
            group=sys.intern(row["pair"] or seed_id),
            label=sys.intern(row["label"]),
            category=sys.intern(row["category"]),
            step=row["step"],
            consistent=facts.consistency == "consistent",
            repeated_share=facts.repeated_share,
            num_words=facts.reasoning_words + facts.answer_words,
        )
        arms[row["recipe"]].append(candidate)


def _note_texts(traces: pa.Table, texts: dict[str, str]) -> None:
    """Add the users' turns of every seed as one text."""
    columns = (traces[name].to_pylist() for name in ("seed_id", "context", "prompt"))
    for seed_id, context, prompt in zip(*columns, strict=True):
        if seed_id not in texts:
            turns = [m["content"] for m in unpack_context(context) if m["role"] == "user"]
            texts[seed_id] = "\n".join([*turns, prompt])
