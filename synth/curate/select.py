"""Selection: which traces of a run are kept, and why the others are not."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from synth.curate.local import COLUMNS as LOCAL_COLUMNS
from synth.curate.local import decide_all
from synth.curate.passes import Candidate, Surroundings, compare
from synth.curate.policy import Policy
from synth.curate.rules import Dropped
from synth.records import unpack_context

# All a selection needs of the traces: none of their long texts.
COLUMNS = (
    *LOCAL_COLUMNS,
    *("try", "step", "seed_id", "prompt", "context", "label", "category", "pair"),
)

DROPS = pa.schema([(n, pa.string()) for n in ("row_id", "seed_id", "arm", "reason", "detail")])


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of every trace.

    Attributes:
        traces: The traces looked at, in the order of `row_id`, columns `COLUMNS`.
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
            *(lost[name] for name in ("row_id", "seed_id", "recipe")),
            pa.array([d.reason.value for d in reasons], pa.string()),
            pa.array([d.detail for d in reasons], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=DROPS)

    def _mask(self, *, dropped: bool) -> pa.Array:
        row_ids = self.traces["row_id"].to_pylist()
        return pa.array([(row_id in self.dropped) == dropped for row_id in row_ids], pa.bool_())


def select(
    traces: pa.Table,
    measures: Mapping[str, pa.Table],
    policy: Policy,
    *,
    formats: Mapping[str, str],
    evaluation_prompts: Mapping[str, str],
) -> Selection:
    """Decide about every trace: by itself first, then among those of its arm.

    Args:
        traces: The highest try of every item, columns `COLUMNS` at least.
        measures: Judgements by measure.
        policy: The rules.
        formats: Recipe to `think` or `answer`.
        evaluation_prompts: What students are tested on, by id.
    """
    traces = traces.select(COLUMNS).sort_by("row_id").combine_chunks()
    dropped: dict[str, Dropped] = {}
    arms: dict[str, list[Candidate]] = defaultdict(list)
    rows = zip(*(traces[name].to_pylist() for name in _CANDIDATE_COLUMNS), strict=True)
    decided = decide_all(traces, measures, policy, formats)
    for (arm, row_id, seed_id, pair, label, category, step), (facts, drop) in zip(
        rows, decided, strict=True
    ):
        if drop is not None:
            dropped[row_id] = drop
            continue
        candidate = Candidate(
            row_id=row_id,
            seed_id=seed_id,
            group=pair or seed_id,
            label=label,
            category=category,
            step=step,
            consistent=facts.consistency == "consistent",
            repeated_share=facts.repeated_share,
            num_words=facts.reasoning_words + facts.answer_words,
        )
        arms[arm].append(candidate)
    texts = _texts(traces)
    steps = set(zip(traces["recipe"].to_pylist(), traces["step"].to_pylist(), strict=True))
    for arm, candidates in sorted(arms.items()):
        last_step = max(step for recipe, step in steps if recipe == arm)
        around = Surroundings(policy, texts, evaluation_prompts, last_step)
        dropped |= compare(candidates, around)
    return Selection(traces, dropped)


_CANDIDATE_COLUMNS = ("recipe", "row_id", "seed_id", "pair", "label", "category", "step")


def _texts(traces: pa.Table) -> dict[str, str]:
    """Return the users' turns of every seed as one text."""
    columns = (traces[name].to_pylist() for name in ("seed_id", "context", "prompt"))
    texts: dict[str, str] = {}
    for seed_id, context, prompt in zip(*columns, strict=True):
        if seed_id not in texts:
            turns = [m["content"] for m in unpack_context(context) if m["role"] == "user"]
            texts[seed_id] = "\n".join([*turns, prompt])
    return texts
