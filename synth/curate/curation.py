"""The stage: reads a run's traces, selects, and writes shards, drops, card and manifest."""

import builtins
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from guidelines import GuidelineSet
from synth import ledger, storage
from synth.config import SynthConfig
from synth.curate import card
from synth.curate.local import MEASURED
from synth.curate.policy import Policy, load_policy, policy_name
from synth.curate.select import COLUMNS, Selection, select
from synth.curate.shards import write_shards
from synth.digest import digest
from synth.measures import ensure_measures, read_measures
from synth.measures.store import Map, to_parquet
from synth.stage import Manifest, stage

DROPS_FILE, CARD_FILE = "drops.parquet", "README.md"

Facet = tuple[str, str, str]  # recipe, label, category


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
    revisions = ensure_measures(config.run, MEASURED, guideline_sets, map)
    provenance = {"fingerprint": dict(fingerprint), "drift": [dict(each) for each in drift]}
    inputs = {
        "policy": digest(policy.model_dump(mode="json")),
        "arms": digest(dict(formats)),
        "traces": digest(ledger.finished(config.run)),
        "measures": digest(revisions),
        "evaluation": digest(dict(evaluation_prompts)),
        "provenance": digest(provenance),
    }

    def make() -> Manifest:
        selection = _select(config, policy, formats, evaluation_prompts, revisions)
        body = _write(config, policy, selection, formats) | provenance
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
    revisions = ensure_measures(config.run, MEASURED, guideline_sets, map)
    accepted = _select(config, policy, formats, evaluation_prompts, revisions).accepted
    return _count(accepted)


def curated_folder(config: SynthConfig) -> str:
    """Return the folder of the shards and their manifest."""
    return storage.join(config.run, "curated", policy_name(config.curate.policy))


def _select(
    config: SynthConfig,
    policy: Policy,
    formats: Mapping[str, str],
    evaluation_prompts: Mapping[str, str],
    revisions: Mapping[str, str],
) -> Selection:
    traces = ledger.read_traces(config.run, recipes=sorted(formats), columns=list(COLUMNS))
    measures = {name: read_measures(config.run, name, revisions[name]) for name in MEASURED}
    return select(traces, measures, policy, formats=formats, evaluation_prompts=evaluation_prompts)


def _write(
    config: SynthConfig, policy: Policy, selection: Selection, formats: Mapping[str, str]
) -> Manifest:
    """Write the shards and the drops; return the manifest's body."""
    folder, accepted, drops = curated_folder(config), selection.accepted, selection.drops
    shards = write_shards(
        config.run,
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
        "accepted": {arm: _rows(accepted, "recipe", arm) for arm in arms},
        "outcomes": {arm: _tally(selection.traces, "recipe", "outcome", arm) for arm in arms},
        "drops": {arm: _tally(drops, "arm", "reason", arm) for arm in arms},
        "acceptance": _acceptance(selection.traces, accepted),
    }


def _acceptance(traces: pa.Table, accepted: pa.Table) -> list[dict[str, Any]]:
    """Return traces and accepted ones of every arm, label and category."""
    kept = _count(accepted)
    return [
        {
            "arm": arm,
            "label": label,
            "category": category,
            "traces": total,
            "accepted": kept[arm, label, category],
        }
        for (arm, label, category), total in sorted(_count(traces).items())
    ]


def _count(traces: pa.Table) -> Counter[Facet]:
    columns = (traces[name].to_pylist() for name in ("recipe", "label", "category"))
    return Counter(zip(*columns, strict=True))


def _rows(table: pa.Table, column: str, value: str) -> int:
    return table[column].to_pylist().count(value)


def _tally(table: pa.Table, by: str, column: str, arm: str) -> dict[str, int]:
    pairs = zip(table[by].to_pylist(), table[column].to_pylist(), strict=True)
    return dict(sorted(Counter(value for each, value in pairs if each == arm).items()))


def _clean(folder: str) -> None:
    sft = storage.join(folder, "sft")
    for path in (
        *(storage.join(sft, name) for name in storage.list_files(sft)),
        storage.join(folder, DROPS_FILE),
        storage.join(folder, CARD_FILE),
    ):
        storage.remove(path)
