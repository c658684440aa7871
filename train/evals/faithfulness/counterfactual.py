"""What a trace would have been without the guideline it cites: the same prompt, asked again.

Three times: as it was (`control`, since sampling alone changes decisions), with the cited
guideline left out (`deleted`), and with one about style in its place (`swapped`), so that the
number of guidelines and the length of the prompt stay about the same. The worked exemplars stay.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from guidelines import Guideline, GuidelineSet
from synth.batch import Batch
from synth.config.schema import ModelConfig, SynthConfig
from synth.digest import digest
from synth.models.identity import identify
from synth.recipes import find_recipe
from synth.records import Item, Sampling
from synth.run import read_config
from synth.workspace.workspaces import batch_workspace

ARMS = ("control", "deleted", "swapped")

# Ours. It says nothing that a decision could turn on.
STYLE = Guideline(
    id="plain-style",
    title="Plain style",
    version=1,
    text=(
        "Write plainly. Use short words and short sentences, keep to one subject at a time, and "
        "call a thing by one name throughout. Prefer the active voice, write numbers below ten "
        "as words, and spell every word as a dictionary of British English does."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """A trace and the items that make it again.

    Attributes:
        row_id: Of the trace.
        guideline: The cited guideline that is left out.
        items: One an arm.
        sets: The guideline set that each names, by arm.
    """

    row_id: str
    guideline: str
    items: Mapping[str, Item]
    sets: Mapping[str, GuidelineSet]


def choose(
    cited: Iterable[tuple[str, str, Sequence[str]]], most: int, seed: int
) -> list[tuple[str, str]]:
    """Return which traces are made again, and which guideline each is made without.

    Both are chosen by digest. A prompt's second trace comes only after every prompt's first.

    Args:
        cited: Of each trace its `row_id`, its seed, and the guidelines it cites.
        most: How many traces at most.
        seed: Another one chooses others.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for row_id, origin, found in sorted(cited, key=lambda one: digest(seed, one[0])):
        if found:
            left_out = min(found, key=lambda guideline: digest(seed, row_id, guideline))
            ranked.append((seen[origin], row_id, left_out))
            seen[origin] += 1
    ranked.sort(key=lambda one: one[0])
    return [(row_id, left_out) for _, row_id, left_out in ranked[:most]]


def vary(row_id: str, item: Item, given: GuidelineSet, guideline: str) -> Variation:
    """Return the items that make a trace again, under `given` and under what derives from it."""
    of = (given, without(given, guideline), swapped(given, guideline))
    sets = dict(zip(ARMS, of, strict=True))
    return Variation(
        row_id=row_id,
        guideline=guideline,
        items={
            arm: replace(
                item,
                guidelines=sets[arm].name,
                payload={**item.payload, "arm": arm, "again": row_id},
                round=0,
                attempt=0,
            )
            for arm in ARMS
        },
        sets=sets,
    )


def without(given: GuidelineSet, guideline: str) -> GuidelineSet:
    """Return `given` less one guideline."""
    return replace(
        given,
        name=f"{given.name}-without-{guideline}",
        guidelines=tuple(one for one in given.guidelines if one.id != guideline),
        digest=digest(given.digest, "without", guideline),
    )


def swapped(given: GuidelineSet, guideline: str) -> GuidelineSet:
    """Return `given` with the guideline about style in the place of another one."""
    return replace(
        given,
        name=f"{given.name}-swap-{guideline}",
        guidelines=tuple(STYLE if one.id == guideline else one for one in given.guidelines),
        digest=digest(given.digest, "swap", guideline, STYLE.text),
    )


def counterfactual_batch(
    config: SynthConfig, recipe: str, variations: Sequence[Variation]
) -> Batch:
    """Return what makes the traces of one recipe again, as the run made them.

    Args:
        config: The run.
        recipe: What the config calls the recipe.
        variations: Of traces of that recipe.
    """
    found = find_recipe(recipe)
    roles = ["teacher", *sorted(found.needs.keys() - {"teacher"})]
    models = {role: _model(config, role) for role in roles}
    sampling = config.sampling.model_dump(mode="json")
    fingerprint = digest(
        read_config(config.run).get("fingerprint", {}),
        {role: identify(model).digest for role, model in models.items()},
        sampling,
        found.version,
        STYLE.text,
    )
    return Batch(
        stage="faithfulness",
        workspace=batch_workspace(config.run, f"faithfulness-{found.name}", fingerprint),
        items=[item for variation in variations for item in variation.items.values()],
        recipe=recipe,
        models=models,
        sampling=Sampling(**config.sampling.model_dump()),
        fingerprint=fingerprint,
        guidelines={one.name: one for variation in variations for one in variation.sets.values()},
    )


def _model(config: SynthConfig, role: str) -> ModelConfig:
    model: ModelConfig | None = getattr(config, role)
    assert model is not None, f"the run was made with a {role}"
    return model
