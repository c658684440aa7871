"""Preference pairs: what the trainings on pairs are given, checked and made into rows.

A pair function sees all `ok`, current traces of its arm before its training, with all their
columns. Pairs of a prompt too near an evaluation prompt are left out; no other rule speaks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth.curate.arms import Arm
from synth.curate.policy import Policy
from synth.curate.rules import Drop, Dropped
from synth.curate.select import Selection, users_text
from synth.curate.shards import MESSAGES, Shard, Split, split_of, write_shard
from synth.recipes.base import Train
from synth.recipes.pairs import Pair
from synth.records import TRACES, Message, Outcome, TraceRow
from synth.seeds.near_duplicates import contaminated
from synth.workspace.workspace import Workspace

PREFERENCE = pa.schema(
    [
        ("row_id", pa.string()),
        ("seed_id", pa.string()),
        ("prompt", MESSAGES),  # may end with an assistant's turn, which both sides go on from
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("kind", pa.string()),
        ("arm", pa.string()),
        ("training", pa.string()),
        ("label", pa.string()),
        ("category", pa.string()),
        ("chosen_ends", pa.bool_()),  # whether the turn ends there
        ("rejected_ends", pa.bool_()),
    ]
)


class PreferenceShard(Shard):
    """A file of pairs as the manifest lists it: those of one training and split."""

    arm: str
    training: str
    split: Split


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """The pairs of one training.

    Attributes:
        arm: The arm's name.
        training: Its own name.
        splits: The pairs of each side, schema `PREFERENCE`, in their order.
        left_out: How many more there were, of prompts too near evaluation prompts.
    """

    arm: str
    training: str
    splits: Mapping[Split, pa.Table]
    left_out: int

    @property
    def kinds(self) -> dict[str, int]:
        """How many pairs there are of each kind, on both sides."""
        tables = self.splits.values()
        return dict(sorted(Counter(k for t in tables for k in t["kind"].to_pylist()).items()))


@dataclass(frozen=True, slots=True)
class Preferences:
    """The pairs of a run.

    Attributes:
        trainings: Every training on pairs, those without any too.
        paired: `row_id` of the traces that are in pairs.
        contaminated: `row_id` of traces in pairs that were left out, to the evaluation prompt
            theirs is too near.
    """

    trainings: Sequence[TrainingPairs]
    paired: AbstractSet[str]
    contaminated: Mapping[str, str]


def read_pair_rows(
    workspace: Workspace,
    leases: Sequence[str],
    arms: Mapping[str, Arm],
    excluded: Mapping[str, Drop],
) -> dict[str, list[TraceRow]]:
    """Return the current `ok` traces of the arms that train on pairs, in the order of `row_id`."""
    names = [name for name, arm in arms.items() if arm.pairings()]
    if not names:
        return {}
    rows: dict[str, list[TraceRow]] = {name: [] for name in names}
    wanted = pc.field("recipe").isin(names) & (pc.field("outcome") == str(Outcome.OK))
    for _, traces in workspace.stream_traces(leases, TRACES.names):
        for row in traces.filter(wanted).to_pylist():
            if row["row_id"] not in excluded:
                rows[row["recipe"]].append(row)
    return {name: sorted(found, key=lambda row: row["row_id"]) for name, found in rows.items()}


def make_preferences(
    rows: Mapping[str, Sequence[TraceRow]],
    arms: Mapping[str, Arm],
    policy: Policy,
    evaluation_prompts: Mapping[str, str],
) -> Preferences:
    """Make the pairs of every training.

    Args:
        rows: The current `ok` traces of each arm that trains on pairs, all columns.
        arms: By name.
        policy: Has the split and the similarity to evaluation prompts.
        evaluation_prompts: What students are tested on, by id.

    Raises:
        ValueError: A pair function has made a pair that can be none.
    """
    trainings: list[TrainingPairs] = []
    paired: set[str] = set()
    contaminations: dict[str, str] = {}
    for arm, found in rows.items():
        of_arm = [_with_split(row, policy) for row in found]
        texts = {row["seed_id"]: users_text(row["context"], row["prompt"]) for row in of_arm}
        near = contaminated(texts, evaluation_prompts, policy.decontaminate)
        splits = {row["seed_id"]: row["split"] for row in of_arm}
        for index, train in arms[arm].pairings():
            pairs = _make(arm, train, [row for row in of_arm if row["step"] < index])
            kept = [pair for pair in pairs if pair.seed_id not in near]
            paired.update(row_id for pair in kept for row_id in _ids(pair))
            contaminations |= {
                row_id: near[pair.seed_id]
                for pair in pairs
                if pair.seed_id in near
                for row_id in _ids(pair)
            }
            tables = _tables(arm, train.name, kept, splits)
            trainings.append(TrainingPairs(arm, train.name, tables, len(pairs) - len(kept)))
    return Preferences(trainings, paired, contaminations)


def place(selection: Selection, preferences: Preferences) -> Selection:
    """Return the selection with the traces that are in pairs taken from its drops.

    One that would be in a pair, were its prompt not near an evaluation's, is dropped for that.
    """
    near = {
        row_id: Dropped(Drop.CONTAMINATED, evaluation)
        for row_id, evaluation in preferences.contaminated.items()
        if row_id in selection.dropped and selection.dropped[row_id].reason is Drop.NO_CONTRAST
    }
    return Selection(selection.traces, {**selection.dropped, **near}, preferences.paired)


def write_preferences(
    folder: str, preferences: Preferences, shard_rows: int
) -> list[PreferenceShard]:
    """Write the pairs as `preference/{split}-{arm}-{training}-....parquet`."""
    shards: list[PreferenceShard] = []
    for each in preferences.trainings:
        for split, table in each.splits.items():
            starts = range(0, len(table), shard_rows)
            for index, start in enumerate(starts):
                name = f"{split}-{each.arm}-{each.training}-{index:05d}-of-{len(starts):05d}"
                part = table.slice(start, shard_rows)
                shard = write_shard(folder, f"preference/{name}.parquet", part)
                shards.append({**shard, "arm": each.arm, "training": each.training, "split": split})
    return shards


def _make(arm: str, train: Train, rows: Sequence[TraceRow]) -> list[Pair]:
    """Return the pairs of a training, each checked and once, in an order of their own."""
    if train.pairs is None:
        return []
    seeds = {row["row_id"]: row["seed_id"] for row in rows}
    made = {(pair.row_id, pair.rejected): pair for pair in train.pairs(rows)}
    for pair in made.values():
        if fault := _fault(pair, seeds):
            what = f"{pair.kind} pair of {pair.chosen_id} over {pair.rejected_id}"
            raise ValueError(f"training {train.name} of {arm}: {what}: {fault}")
    return [made[key] for key in sorted(made)]


def _fault(pair: Pair, seeds: Mapping[str, str]) -> str | None:
    if any(seeds.get(row_id) != pair.seed_id for row_id in _ids(pair)):
        return f"both must be traces of seed {pair.seed_id} from before the training"
    if pair.chosen == pair.rejected:
        return "the sides are the same"
    return None


def _tables(
    arm: str, training: str, pairs: Iterable[Pair], splits: Mapping[str, Split]
) -> dict[Split, pa.Table]:
    rows: dict[Split, list[dict[str, Any]]] = {"train": [], "heldout": []}
    for pair in pairs:
        rows[splits[pair.seed_id]].append(_preference_row(arm, training, pair))
    return {split: pa.Table.from_pylist(found, PREFERENCE) for split, found in rows.items()}


def _preference_row(arm: str, training: str, pair: Pair) -> dict[str, Any]:
    return {
        "row_id": pair.row_id,
        "seed_id": pair.seed_id,
        "prompt": list(pair.prompt),
        "chosen": [Message(role="assistant", content=pair.chosen)],
        "rejected": [Message(role="assistant", content=pair.rejected)],
        "kind": pair.kind,
        "arm": arm,
        "training": training,
        "label": pair.label,
        "category": pair.category,
        "chosen_ends": pair.chosen_ends,
        "rejected_ends": pair.rejected_ends,
    }


def _with_split(row: TraceRow, policy: Policy) -> TraceRow:
    group = row["pair"] or row["seed_id"]
    return {**row, "split": split_of(group, policy.heldout_share)}


def _ids(pair: Pair) -> tuple[str, str]:
    return pair.chosen_id, pair.rejected_id
