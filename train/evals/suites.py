"""From suites and attacks to the items of the evaluation, and the proof that they are new.

An attacked prompt is a seed of its own (its `seed_id` is the digest of what is sent), and
its item remembers the seed it came from: `origin` is the unit that intervals cluster on.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from synth import storage
from synth.config import Limit, SeedsConfig, SynthConfig
from synth.digest import digest
from synth.errors import BadInput
from synth.records import Item, Seed
from synth.seeds import load_seeds, split_seeds, take
from synth.stage import read_manifest
from train.evals.config import EvaluateConfig, SuiteConfig
from train.evals.transforms import PLAIN, TRANSFORMS
from train.shards import read_split

RECIPE = "evaluate"
TRAINING_FAMILIES = frozenset({PLAIN})  # synthesis rephrases no seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Named prompts.

    Attributes:
        name: `seeds`, or the name the config gives.
        path: Where they stand.
        seeds: All of them.
        limit: How many of each label are used without an attack.
    """

    name: str
    path: str
    seeds: Sequence[Seed]
    limit: Limit


def load_suites(config: SynthConfig, evaluate: EvaluateConfig) -> list[Suite]:
    """Read every suite of the evaluation."""
    return [
        _own_half(config, evaluate) if isinstance(suite, str) else _from_file(suite)
        for suite in evaluate.suites
    ]


def training_seed_ids(config: SynthConfig) -> frozenset[str]:
    """Return the ids of the seeds that training may draw on, or has drawn on already.

    The latter differ where `seeds` was changed after the students were trained.
    """
    split = split_seeds(load_seeds(config.seeds), config.seeds.eval_share)
    folder = storage.join(config.run, "curated")
    curated = [storage.join(folder, policy) for policy in storage.list_folders(folder)]
    shards = [read_split(path, "train") for path in curated if read_manifest(path) is not None]
    return frozenset(
        [seed.seed_id for seed in split.train]
        + [seed_id for shard in shards for seed_id in shard["seed_id"].to_pylist()]
    )


def eval_items(suites: Sequence[Suite], evaluate: EvaluateConfig) -> list[Item]:
    """Return one item a suite, attack, prompt and sample.

    Under an attack the prompts of each label are taken so that twins stay together.
    """
    return [
        _item(suite.name, seed, attack, sample)
        for suite in suites
        for attack, limit in _passes(suite, evaluate)
        for seed in take(suite.seeds, limit)
        for sample in range(evaluate.samples)
    ]


def check_lineage(
    suites: Sequence[Suite],
    items: Sequence[Item],
    training_ids: Collection[str],
    training_families: Collection[str] = TRAINING_FAMILIES,
) -> None:
    """Check that nothing evaluated was trained on.

    Args:
        suites: Where the items came from.
        items: The evaluation.
        training_ids: `seed_id`s of the training prompts.
        training_families: Families of transforms that training prompts went through.

    Raises:
        BadInput: A prompt, as given or as attacked, is a training prompt, or an attack
            belongs to a family that training saw.
    """
    paths = {suite.name: suite.path for suite in suites}
    for name, path in paths.items():
        own = [item for item in items if item.payload["suite"] == name]
        seen = {item.payload["origin"] for item in own} | {item.seed.seed_id for item in own}
        shared = sorted(seen & set(training_ids))
        if shared:
            rule = f"{len(shared)} prompts are training prompts: " + ", ".join(shared)
            raise BadInput(file=path, field="evaluate.suites", value=name, rule=rule)
    attacks = {item.payload["transform"]: item.payload["family"] for item in items}
    for attack, family in attacks.items():
        if attack != PLAIN and family in training_families:
            rule = f"must not be of a family that training saw ({family})"
            raise BadInput(file="config", field="evaluate.attacks", value=attack, rule=rule)


def _own_half(config: SynthConfig, evaluate: EvaluateConfig) -> Suite:
    split = split_seeds(load_seeds(config.seeds), config.seeds.eval_share)
    return Suite(name="seeds", path=config.seeds.path, seeds=split.evaluation, limit=evaluate.limit)


def _from_file(suite: SuiteConfig) -> Suite:
    source = SeedsConfig(path=suite.path, columns=suite.columns, label=suite.label)
    return Suite(name=suite.name, path=suite.path, seeds=load_seeds(source), limit=suite.limit)


def _passes(suite: Suite, evaluate: EvaluateConfig) -> Iterator[tuple[str, Limit]]:
    yield PLAIN, suite.limit
    for attack in evaluate.attacks:
        yield attack, evaluate.attack_limit


def _item(suite: str, seed: Seed, attack: str, sample: int) -> Item:
    payload = {
        "suite": suite,
        "family": PLAIN,
        "transform": PLAIN,
        "version": 1,
        "untransformed": seed.prompt,
        "origin": seed.seed_id,
    }
    if attack != PLAIN:
        transform = TRANSFORMS[attack]
        payload |= {"family": transform.family, "transform": attack, "version": transform.version}
        seed = _rephrased(seed, transform.apply(seed.prompt))
    return Item(seed=seed, recipe=RECIPE, sample_index=sample, payload=payload)


def _rephrased(seed: Seed, prompt: str) -> Seed:
    seed = replace(seed, prompt=prompt)
    return replace(seed, seed_id=digest(seed.messages))
