"""Suites: prompts from files, the items made of them, and the proof that training never saw them.

An attacked prompt is a seed of its own (its `seed_id` is the digest of what is sent), and
its item remembers the seed it came from: `origin` is the unit that intervals cluster on.

Public suites copy from each other, so two of them are not two pieces of evidence where they
overlap. What is found is reported, not removed; that nothing evaluated was trained on is
checked by `check_lineage`, and training seeds near a suite are dropped before.
"""

from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import PurePath
from typing import TypedDict

from synth import storage
from synth.config.schema import Limit, SeedsConfig, SynthConfig
from synth.errors import BadInput
from synth.records import Item, Seed, digest
from synth.seeds.files import FileRow, hash_file, read_file_rows
from synth.seeds.near_duplicates import Index, Sketch, sketches
from synth.seeds.seeds import load_seeds, seeds_of, seeds_sha256, split_seeds, take
from synth.workspace.stage import read_manifest
from train.data import seed_ids
from train.evals.attacks import PLAIN, TRANSFORMS, Transform, wording
from train.evals.attacks.config import AttackConfig
from train.evals.config import EvaluateConfig, SuiteConfig
from train.evals.suite_formats import FORMATS, SuiteFormat

RECIPE = "evaluate"
_OWN_LICENCE = "Apache-2.0"  # of the embedded seeds

TRAINING = "training"


class SuiteContent(TypedDict):
    """What a suite's files hold; see `train.evals.suites.Suite`."""

    seeds: Sequence[Seed]
    licence: str | None
    sha256: Mapping[str, str]
    left_out: Mapping[str, int]


def read_suite(suite: SuiteConfig) -> SuiteContent:
    """Read the prompts of a suite.

    Raises:
        BadInput: A file can not be read, a row breaks a rule, or an id stands twice.
    """
    paths = [suite.path] if suite.benign is None else [suite.path, suite.benign]
    left_out: Counter[str] = Counter()
    if suite.format is None:
        source = SeedsConfig(path=suite.path, columns=suite.columns, label=suite.label)
        seeds, licence = load_seeds(source), suite.licence
    else:
        form = FORMATS[suite.format]
        seeds, licence = _formatted(suite, form, left_out), suite.licence or form.licence
    return SuiteContent(
        seeds=seeds,
        licence=licence,
        sha256={path: hash_file(path) for path in paths},
        left_out=dict(left_out),
    )


def _formatted(suite: SuiteConfig, form: SuiteFormat, left_out: Counter[str]) -> list[Seed]:
    """Read a format's one or two files as one source, so that twins find each other."""
    main = SeedsConfig(path=suite.path, columns=dict(form.columns), label=suite.label)
    seeds = _seeds_of_file(main, form, left_out)
    if suite.benign is None:
        return seeds
    other = SeedsConfig(path=suite.benign, columns=dict(form.columns), label="benign")
    source = PurePath(suite.path).name
    twins = _seeds_of_file(other, form, left_out)
    return [*seeds, *(replace(twin, source=source) for twin in twins)]


def _seeds_of_file(source: SeedsConfig, form: SuiteFormat, left_out: Counter[str]) -> list[Seed]:
    with closing(_adapted(source, form, left_out)) as rows:
        return seeds_of(source, rows)


def _adapted(
    source: SeedsConfig, form: SuiteFormat, left_out: Counter[str]
) -> Generator[FileRow, None, None]:
    for row in read_file_rows(source.path, form.read_columns):
        label = form.label_of(source.path, row.cells) or source.label
        reason = form.left_out(row.cells, label)
        if reason is None:
            yield form.adapted(row, label)
        else:
            left_out[reason] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Named prompts.

    Attributes:
        name: `seeds`, or the name the config gives.
        path: Where they stand.
        seeds: All of them.
        limit: How many of each label are used without an attack.
        licence: What they are published under, where that is known.
        sha256: Path of each file to the SHA-256 of its bytes.
        left_out: Why rows of the files are no prompts of the suite, to how many.
    """

    name: str
    path: str
    seeds: Sequence[Seed]
    limit: Limit
    licence: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteItems:
    """What an evaluation asks.

    Attributes:
        items: One a suite, attack, prompt and sample.
        inexpressible: `suite/attack` to how many of its prompts the attack has no form of.
    """

    items: list[Item]
    inexpressible: Mapping[str, int]


def load_suites(config: SynthConfig, evaluate: EvaluateConfig) -> list[Suite]:
    """Read every suite of the evaluation.

    Raises:
        BadInput: A file can not be used, or an attack belongs to a family that training saw:
            names the file, the place and the rule.
    """
    own = split_seeds(load_seeds(config.seeds), config.seeds.eval_share)
    _check_families(evaluate, own.train)
    return [
        _own_half(config, evaluate, own.evaluation)
        if isinstance(suite, str)
        else Suite(name=suite.name, path=suite.path, limit=suite.limit, **read_suite(suite))
        for suite in evaluate.suites
    ]


def training_seed_ids(config: SynthConfig) -> frozenset[str]:
    """Return the ids of the seeds that training may draw on, or has drawn on already.

    The latter differ where `seeds` was changed after the students were trained.
    """
    split = split_seeds(load_seeds(config.seeds), config.seeds.eval_share)
    folder = storage.join(config.run, "curated")
    curated = [storage.join(folder, policy) for policy in storage.list_folders(folder)]
    drawn_on = {seed.seed_id for seed in split.train}
    for path in (path for path in curated if read_manifest(path) is not None):
        drawn_on.update(seed_ids(path))
    return frozenset(drawn_on)


def families_seen(training: Sequence[Seed], families: Collection[str]) -> dict[str, str]:
    """Return which families of attacks training prompts went through, with a seed that shows it.

    A prompt went through an attack by rule where it carries the attack's own wording, or is the
    attacked form of another training prompt, which is how noise is known.

    Args:
        training: The seeds that training may draw on.
        families: The ones to look for.
    """
    seed_ids = {seed.prompt: seed.seed_id for seed in training}
    seen: dict[str, str] = {}
    for transform in TRANSFORMS.values():
        if transform.family in families and transform.family not in seen:
            shown = next(_written_by(transform, seed_ids), None)
            if shown is not None:
                seen[transform.family] = seed_ids[shown]
    return seen


def ask_prompts(
    suites: Sequence[Suite], evaluate: EvaluateConfig, rewrites: Mapping[str, Mapping[str, str]]
) -> SuiteItems:
    """Return one item a suite, attack, prompt and sample, and what could not be asked.

    Under an attack the prompts of each label are taken so that twins stay together. A prompt
    that an attack can not express is left out and counted.

    Args:
        suites: Where the prompts come from.
        evaluate: The attacks on them, and how many of them are asked.
        rewrites: Name of every attack that is rewritten, to its rewrites by `seed_id`.

    Raises:
        BadInput: A rule can express no prompt of a suite.
        KeyError: `rewrites` lacks an attack.
    """
    items: list[Item] = []
    missing: Counter[str] = Counter()
    for suite in suites:
        for attack, limit in _passes(suite, evaluate):
            seeds = take(suite.seeds, limit)
            attacked = [(seed, _express(seed, attack, rewrites)) for seed in seeds]
            lost = sum(text is None for _, text in attacked)
            if attack is not None and lost:
                missing[f"{suite.name}/{attack.called}"] = lost
                _check_any(suite, attack, lost, len(seeds))
            items += (
                _item(suite.name, seed, attack, text, sample)
                for seed, text in attacked
                if text is not None
                for sample in range(evaluate.samples)
            )
    return SuiteItems(items=items, inexpressible=dict(missing))


def eval_items(suites: Sequence[Suite], evaluate: EvaluateConfig) -> list[Item]:
    """Return the items that can be told before any model has rewritten a prompt.

    Raises:
        BadInput: As `ask_prompts`.
    """
    by_rule = [attack for attack in evaluate.attacks if not attack.is_rewritten]
    return ask_prompts(suites, evaluate.model_copy(update={"attacks": by_rule}), {}).items


def check_lineage(
    suites: Sequence[Suite], items: Sequence[Item], training_ids: Collection[str]
) -> None:
    """Check that nothing evaluated was trained on.

    Args:
        suites: Where the items came from.
        items: The evaluation.
        training_ids: `seed_id`s of the training prompts.

    Raises:
        BadInput: A prompt, as given or as attacked, is a training prompt.
    """
    paths = {suite.name: suite.path for suite in suites}
    for name, path in paths.items():
        own = [item for item in items if item.payload["suite"] == name]
        seen = {item.payload["origin"] for item in own} | {item.seed.seed_id for item in own}
        shared = sorted(seen & set(training_ids))
        if shared:
            rule = f"{len(shared)} prompts are training prompts: " + ", ".join(shared)
            raise BadInput(file=path, field="evaluate.suites", value=name, rule=rule)


def _written_by(transform: Transform, prompts: Collection[str]) -> Iterator[str]:
    before, after = wording(transform)
    worded = (p for p in prompts if p.startswith(before) and p.endswith(after))
    attacked = (text for text in map(transform.apply, prompts) if text is not None)
    known = (text for text in attacked if text in prompts)
    return chain(worded, known) if before or after else known


def _check_families(evaluate: EvaluateConfig, training: Sequence[Seed]) -> None:
    seen = families_seen(training, {attack.kind for attack in evaluate.attacks})
    for attack in evaluate.attacks:
        if attack.kind in seen:
            rule = (
                f"must not be of a family that training saw ({attack.kind}, as in the training "
                f"seed {seen[attack.kind]})"
            )
            raise BadInput(file="config", field="evaluate.attacks", value=attack.called, rule=rule)


def _own_half(config: SynthConfig, evaluate: EvaluateConfig, seeds: Sequence[Seed]) -> Suite:
    path = config.seeds.path
    return Suite(
        name="seeds",
        path=path,
        seeds=seeds,
        limit=evaluate.limit,
        licence=_OWN_LICENCE if path == "embedded" else None,
        sha256={path: seeds_sha256(config.seeds)},
    )


def _passes(suite: Suite, evaluate: EvaluateConfig) -> Iterator[tuple[AttackConfig | None, Limit]]:
    yield None, suite.limit
    for attack in evaluate.attacks:
        yield attack, evaluate.attack_limit


def _express(
    seed: Seed, attack: AttackConfig | None, rewrites: Mapping[str, Mapping[str, str]]
) -> str | None:
    """Return the prompt under an attack, or as it is; None where the attack has no form of it."""
    if attack is None:
        return seed.prompt
    if attack.is_rewritten:
        return rewrites[attack.called].get(seed.seed_id)
    return TRANSFORMS[attack.attack].apply(seed.prompt)


def _check_any(suite: Suite, attack: AttackConfig, lost: int, num_seeds: int) -> None:
    if lost == num_seeds and not attack.is_rewritten:
        rule = f"can express none of the {num_seeds} prompts of {suite.name}"
        raise BadInput(file=suite.path, field="evaluate.attacks", value=attack.called, rule=rule)


def _item(suite: str, seed: Seed, attack: AttackConfig | None, text: str, sample: int) -> Item:
    payload = {
        "suite": suite,
        "family": PLAIN if attack is None else attack.kind,
        "transform": PLAIN if attack is None else attack.called,
        "version": 1 if attack is None else attack.version,
        "untransformed": seed.prompt,
        "origin": seed.seed_id,
    }
    if attack is not None:
        seed = _rephrased(seed, text)
    return Item(seed=seed, recipe=RECIPE, sample_index=sample, payload=payload)


def _rephrased(seed: Seed, prompt: str) -> Seed:
    seed = replace(seed, prompt=prompt)
    return replace(seed, seed_id=digest(seed.messages))


class Overlap(TypedDict):
    """What two sets of prompts share.

    Attributes:
        first: Name of a suite.
        second: Name of another suite, or `training`.
        exact: Prompts of `first` whose normalised text is one of `second`.
        near: Further prompts of `first` that are near duplicates of one of `second`.
        ids: `seed_id` of those prompts in `first`, exact ones first.
    """

    first: str
    second: str
    exact: int
    near: int
    ids: list[str]


def overlaps(
    suites: Sequence[Suite], training: Sequence[Seed], threshold: float = 0.8
) -> list[Overlap]:
    """Return every two suites that share prompts, and every suite that shares some with training.

    Args:
        suites: All of them, whole: what a run asks of them is a part.
        training: The seeds that training may draw on.
        threshold: Least Jaccard similarity of near duplicates; see `synth.seeds.near_duplicates`.
    """
    own = [(suite.name, _sketched(suite.seeds)) for suite in suites]
    sets = [*own, (TRAINING, _sketched(training))]
    held = [(name, Index(threshold, texts)) for name, texts in sets]
    pairs = [(one, other) for at, one in enumerate(own) for other in held[at + 1 : -1]]
    pairs += [(one, held[-1]) for one in own]
    found = [_overlap(*one, *other) for one, other in pairs]
    return [overlap for overlap in found if overlap["ids"]]


def _sketched(seeds: Sequence[Seed]) -> list[Sketch]:
    return list(sketches({seed.seed_id: seed.prompt for seed in seeds}))


def _overlap(name: str, own: Sequence[Sketch], other: str, held: Index) -> Overlap:
    found = held.matches(own)
    same = [text.key for text in own if held.holds(text)]
    ids = [*same, *sorted(found.keys() - set(same))]
    return Overlap(first=name, second=other, exact=len(same), near=len(found) - len(same), ids=ids)
