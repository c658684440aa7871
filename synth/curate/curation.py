"""The stage: reads a run's traces, selects, and writes shards, drops, card and manifest."""

import builtins
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from guidelines import GuidelineSet
from synth import ledger, storage
from synth.config import SynthConfig
from synth.curate import card
from synth.curate.local import MEASURED
from synth.curate.policy import Policy, load_policy, policy_name
from synth.curate.select import COLUMNS, Part, Selection, select
from synth.curate.shards import write_shards
from synth.digest import digest
from synth.measures import ensure_measures, read_lease_measures
from synth.measures.store import Map, to_parquet
from synth.stage import Manifest, stage

DROPS_FILE, CARD_FILE = "drops.parquet", "README.md"

FACET = ("recipe", "label", "category")
Facet = tuple[str, str, str]


def curate(
    config: SynthConfig,
    *,
    formats: Mapping[str, str],
    evaluation_prompts: Mapping[str, str],
    guideline_sets: Sequence[GuidelineSet],
    fingerprint: Mapping[str, str],
    drift: Sequence[Mapping[str, Any]] = (),
    map: Map = builtins.map,
) -> Manifest:
    """Turn the run's traces into shards; return the manifest. A complete stage is left alone.

    Args:
        config: Names the run and the policy.
        formats: Recipe to `think` or `answer`; the recipes in it are the arms.
        evaluation_prompts: What students are tested on, by id.
        guideline_sets: What the traces were conditioned on.
        fingerprint: What the run says its rows' text depends on, for manifest and card.
        drift: Accepted changes of it, each with `why` and `changed`.
        map: Runs the missing measures, one task a lease.

    Raises:
        BadInput: The policy is unusable.
    """
    policy = load_policy(config.curate.policy)
    folder = curated_folder(config)
    leases = ledger.finished(config.run)
    revisions = ensure_measures(config.run, MEASURED, guideline_sets, map)
    provenance = {"fingerprint": dict(fingerprint), "drift": [dict(each) for each in drift]}
    inputs = {
        "policy": digest(policy.model_dump(mode="json")),
        "arms": digest(dict(formats)),
        "traces": digest(leases),
        "measures": digest(revisions),
        "evaluation": digest(dict(evaluation_prompts)),
        "provenance": digest(provenance),
    }

    def make() -> Manifest:
        parts = _parts(config.run, leases, sorted(formats), revisions)
        selection = select(parts, policy, formats=formats, evaluation_prompts=evaluation_prompts)
        body = _write(config, policy, leases, selection, formats) | provenance
        text = card.render(
            body, config=config, policy=policy, guideline_sets=guideline_sets, formats=formats
        )
        storage.publish(storage.join(folder, CARD_FILE), text.encode())
        return body

    return stage("curate", folder, inputs, make, partial(_clean, folder))


def count_accepted(
    config: SynthConfig,
    *,
    formats: Mapping[str, str],
    evaluation_prompts: Mapping[str, str],
    guideline_sets: Sequence[GuidelineSet],
    map: Map = builtins.map,
) -> Counter[Facet]:
    """Return how many traces curation would keep now, by recipe, label and category."""
    policy = load_policy(config.curate.policy)
    leases = ledger.finished(config.run)
    revisions = ensure_measures(config.run, MEASURED, guideline_sets, map)
    parts = _parts(config.run, leases, sorted(formats), revisions)
    selection = select(parts, policy, formats=formats, evaluation_prompts=evaluation_prompts)
    return _count(selection.accepted, *FACET)


def curated_folder(config: SynthConfig) -> str:
    """Return the folder of the shards and their manifest."""
    return storage.join(config.run, "curated", policy_name(config.curate.policy))


def _parts(
    run: str, leases: Sequence[str], arms: Sequence[str], revisions: Mapping[str, str]
) -> Iterator[Part]:
    """Yield the arms' traces with what the measures say of them, a lease at a time."""
    read = partial(read_lease_measures, run, revisions)
    measured = storage.in_parallel(run, read, leases)
    streamed = ledger.stream_traces(run, leases, COLUMNS)
    for (_, traces), measures in zip(streamed, measured, strict=True):
        yield traces.filter(pc.field("recipe").isin(list(arms))), measures


def _write(
    config: SynthConfig,
    policy: Policy,
    leases: Sequence[str],
    selection: Selection,
    formats: Mapping[str, str],
) -> Manifest:
    """Write the shards and the drops; return the manifest's body."""
    folder, accepted, drops = curated_folder(config), selection.accepted, selection.drops
    shards = write_shards(
        config.run,
        leases,
        folder,
        accepted,
        formats=formats,
        heldout_share=policy.heldout_share,
        shard_rows=policy.shard_rows,
    )
    storage.publish(storage.join(folder, DROPS_FILE), to_parquet(drops))
    arms = sorted(formats)
    return {
        "policy": policy_name(config.curate.policy),
        "arms": arms,
        "shards": shards,
        "accepted": {arm: _count(accepted, "recipe")[(arm,)] for arm in arms},
        "outcomes": {arm: _tally(selection.traces, "recipe", "outcome", arm) for arm in arms},
        "drops": {arm: _tally(drops, "arm", "reason", arm) for arm in arms},
        "drops_by_step": _drops_by_step(drops),
        "acceptance": _acceptance(selection.traces, accepted),
    }


def _drops_by_step(drops: pa.Table) -> list[dict[str, Any]]:
    """Return how many traces of every arm and step each reason dropped."""
    return [
        {"arm": arm, "step": step, "reason": reason, "rows": rows}
        for (arm, step, reason), rows in sorted(_count(drops, "arm", "step", "reason").items())
    ]


def _acceptance(traces: pa.Table, accepted: pa.Table) -> list[dict[str, Any]]:
    """Return traces and accepted ones of every arm, label and category."""
    kept = _count(accepted, *FACET)
    return [
        {
            "arm": arm,
            "label": label,
            "category": category,
            "traces": total,
            "accepted": kept[arm, label, category],
        }
        for (arm, label, category), total in sorted(_count(traces, *FACET).items())
    ]


def _count(table: pa.Table, *columns: str) -> Counter[Any]:
    """Return rows by their values of some columns."""
    counted = table.group_by(list(columns)).aggregate([([], "count_all")]).to_pydict()
    rows = counted.pop("count_all")
    return Counter(dict(zip(zip(*counted.values(), strict=True), rows, strict=True)))


def _tally(table: pa.Table, by: str, column: str, arm: str) -> dict[str, int]:
    found = _count(table, by, column)
    return {value: rows for (each, value), rows in sorted(found.items()) if each == arm}


def _clean(folder: str) -> None:
    sft = storage.join(folder, "sft")
    for path in (
        *(storage.join(sft, name) for name in storage.list_files(sft)),
        storage.join(folder, DROPS_FILE),
        storage.join(folder, CARD_FILE),
    ):
        storage.remove(path)
