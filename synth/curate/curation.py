"""The stage: reads a run's traces, selects, and writes shards, drops, card and manifest."""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow.compute as pc

from guidelines import GuidelineSet
from synth import storage
from synth.config.schema import SynthConfig
from synth.curate import card
from synth.curate.arms import Arm, last_step_varies, make_arms
from synth.curate.card import counts
from synth.curate.closer import look_into_lease, looked_into
from synth.curate.local import MEASURED
from synth.curate.policy import Policy, load_policy, policy_name
from synth.curate.preference import (
    Preferences,
    make_preferences,
    place,
    read_pair_rows,
    write_preferences,
)
from synth.curate.rules import NOTHING_EXCLUDED, Drop
from synth.curate.select import COLUMNS, Part, Selection, select
from synth.curate.shards import write_shards
from synth.measures import ensure_measures, read_lease_measures
from synth.measures.store import Map, to_parquet
from synth.recipes.base import Recipe, Train
from synth.records import digest
from synth.workspace.stage import Manifest, stage
from synth.workspace.workspace import Workspace

DROPS_FILE, CARD_FILE = "drops.parquet", "README.md"
MANIFEST_VERSION = 2  # raised by hand when a manifest would say more of the same shards


def curate(
    config: SynthConfig,
    workspace: Workspace,
    *,
    recipes: Mapping[str, Recipe],
    evaluation_prompts: Mapping[str, str],
    guideline_sets: Sequence[GuidelineSet],
    fingerprint: Mapping[str, str],
    excluded: Mapping[str, Drop] = NOTHING_EXCLUDED,
    drift: Sequence[Mapping[str, Any]] = (),
    map: Map = builtins.map,
) -> Manifest:
    """Turn the run's traces into shards; return the manifest. A complete stage is left alone.

    Args:
        config: Names the policy and where the shards go.
        workspace: Has the traces.
        recipes: By name; they are the arms.
        evaluation_prompts: What students are tested on, by id.
        guideline_sets: What the traces were conditioned on.
        fingerprint: What the run says its rows' text depends on, for manifest and card.
        excluded: `row_id` of traces that cannot be used, and why.
        drift: Accepted changes of it, each with `why` and `changed`.
        map: Runs the missing measures, one task a lease.

    Raises:
        BadInput: The policy is unusable.
        ValueError: A recipe makes pairs that can be none.
    """
    policy, folder = load_policy(config.curate.policy), curated_folder(config)
    leases = workspace.finished()
    revisions = ensure_measures(workspace, MEASURED, guideline_sets, map)
    provenance = {"fingerprint": dict(fingerprint), "drift": [dict(each) for each in drift]}
    inputs = {
        "manifest": digest(MANIFEST_VERSION),
        "policy": digest(policy.model_dump(mode="json")),
        "arms": digest({name: _recipe_inputs(recipe) for name, recipe in recipes.items()}),
        "traces": workspace.traces_digest(leases),
        "aside": digest(dict(excluded)),  # a name on disk: another would curate every run again
        "measures": digest(revisions),
        "evaluation": digest(dict(evaluation_prompts)),
        "provenance": digest(provenance),
    }

    def make() -> Manifest:
        arms = _arms(workspace, leases, recipes)
        parts = read_parts(workspace, leases, arms, policy, revisions)
        prompts = evaluation_prompts
        selection = select(parts, policy, arms=arms, evaluation_prompts=prompts, excluded=excluded)
        rows = read_pair_rows(workspace, leases, arms, excluded)
        pairs = make_preferences(rows, arms, policy, prompts)
        chosen = place(selection, pairs)
        body = _write(config, workspace, policy, leases, arms, chosen, pairs) | provenance
        text = card.render_card(
            body, config=config, policy=policy, guideline_sets=guideline_sets, recipes=recipes
        )
        storage.publish(storage.join(folder, CARD_FILE), text.encode())
        return body

    return stage("curate", folder, inputs, make, partial(_clean, folder))


def curated_folder(config: SynthConfig) -> str:
    """Return the folder of the shards and their manifest."""
    return storage.join(config.run, "curated", policy_name(config.curate.policy))


def _recipe_inputs(recipe: Recipe) -> dict[str, Any]:
    """Return what of a recipe decides about its rows; its functions are told by its version."""
    return {
        "version": recipe.version,
        "format": recipe.format,
        "options": recipe.options.model_dump(mode="json"),
        "max_rows": recipe.max_rows,
        "trainings": [(t.name, t.kind) for t in recipe.steps if isinstance(t, Train)],
    }


def _arms(
    workspace: Workspace, leases: Sequence[str], recipes: Mapping[str, Recipe]
) -> dict[str, Arm]:
    """Return the arms; where a supervised step depends on the traces, these are looked at."""
    if not any(last_step_varies(recipe) for recipe in recipes.values()):
        return make_arms(recipes)
    streamed = workspace.stream_traces(leases, ("recipe", "step"))
    return make_arms(recipes, (traces for _, traces in streamed))


def read_parts(
    workspace: Workspace,
    leases: Sequence[str],
    arms: Mapping[str, Arm],
    policy: Policy,
    revisions: Mapping[str, str],
    columns: Sequence[str] = COLUMNS,
) -> Iterator[Part]:
    """Yield the arms' traces with what is said of them, a lease at a time."""
    folder = workspace.path
    measured = storage.in_parallel(folder, partial(read_lease_measures, folder, revisions), leases)
    look = partial(look_into_lease, folder, looked_into(arms, policy), policy)
    looks = storage.in_parallel(folder, look, leases)
    streamed = workspace.stream_traces(leases, columns)
    for (_, traces), *beside in zip(streamed, measured, looks, strict=True):
        yield Part(traces.filter(pc.field("recipe").isin(list(arms))), *beside)


def _write(
    config: SynthConfig,
    workspace: Workspace,
    policy: Policy,
    leases: Sequence[str],
    arms: Mapping[str, Arm],
    selection: Selection,
    preferences: Preferences,
) -> Manifest:
    """Write the shards and the drops; return the manifest's body."""
    folder = curated_folder(config)
    recipes = {name: arm.recipe for name, arm in arms.items()}
    supervised = write_shards(
        workspace, leases, folder, selection.accepted, recipes=recipes, policy=policy
    )
    pairs = write_preferences(folder, preferences, policy.shard_rows)
    storage.publish(storage.join(folder, DROPS_FILE), to_parquet(selection.drops))
    body = {
        "policy": policy_name(config.curate.policy),
        "arms": list(arms),
        "shards": [*supervised, *pairs],
    }
    return body | counts(selection, preferences, arms)


def _clean(folder: str) -> None:
    for kind in ("sft", "preference"):
        shards = storage.join(folder, kind)
        for name in storage.list_files(shards):
            storage.remove(storage.join(shards, name))
    for file in (DROPS_FILE, CARD_FILE):
        storage.remove(storage.join(folder, file))
