"""Seeds: the prompts a run starts from, their identity, and their train and evaluation halves."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from importlib.resources import files
from itertools import groupby, islice
from typing import NamedTuple

from synth.config.schema import Limit, SeedsConfig
from synth.errors import BadInput
from synth.records import ID_HEX, LABELS, Seed, digest
from synth.seeds.files import FileRow, hash_file, read_file_rows, size_bytes
from synth.seeds.near_duplicates import contaminated
from synth.seeds.rows import SeedRow, file_names
from synth.storage import is_remote

CHECKED_ROWS = 10_000
CHECKED_BYTES = 50_000_000

# Part of what the split hashes; changing it deals out every run's seeds anew. A hash threshold
# gives counts that vary by chance: of the 152 embedded pairs, 0.4 holds out 61 give or take 6,
# and under this constant 65. A test keeps the counts that an evaluation needs.
_SPLIT_SALT = "split-1"

_log = logging.getLogger(__name__)


class SeedSplit(NamedTuple):
    """The two halves of the seeds; twins are always in the same one."""

    train: list[Seed]
    evaluation: list[Seed]


def load_seeds(config: SeedsConfig, *, max_rows: int | None = None) -> list[Seed]:
    """Read the seeds a configuration names, in file order, each conversation once.

    A row whose conversation stood in an earlier row is left out, and a warning counts them.
    An `id` is checked to be unique and not used further: a seed's identity is its content.

    Args:
        config: The file, and how its columns are called.
        max_rows: Read no more rows than this.

    Raises:
        BadInput: The file can not be read, holds no seed, or a row breaks a rule; names the
            place and the column.
    """
    names = file_names(config)
    with closing(read_file_rows(_location(config), names.values())) as rows:
        return seeds_of(config, islice(rows, max_rows))


def seeds_of(config: SeedsConfig, rows: Iterable[FileRow]) -> list[Seed]:
    """Make the rows of a file into seeds, as `load_seeds` does.

    Args:
        config: What names the file and its columns.
        rows: Its rows, as they stand or as a format adapts them.

    Raises:
        BadInput: As `load_seeds`.
    """
    names = file_names(config)
    firsts: dict[str, tuple[str, Seed]] = {}
    places: dict[str, str] = {}
    unseen = set(config.columns.values())
    repeats = 0
    for row in rows:
        unseen -= row.cells.keys()
        entry = SeedRow(config, names, row)
        entry.check_id(places)
        seed = entry.seed()
        place, first = firsts.setdefault(seed.seed_id, (row.place, seed))
        repeats += place != row.place
        if seed.label != first.label:
            rule = f"must be {first.label}, as for the same prompt on {place}"
            raise entry.error("label", seed.label, rule)
    if not firsts:
        rule = "must hold at least one seed"
        raise BadInput(file=config.path, field="seeds.path", value="no rows", rule=rule)
    if unseen:
        rule = "must map to columns of the file"
        raise BadInput(file=config.path, field="seeds.columns", value=sorted(unseen), rule=rule)
    if repeats:
        _log.warning("%s: %d rows repeat an earlier prompt and are left out", config.path, repeats)
    return [seed for _, seed in firsts.values()]


def seeds_sha256(config: SeedsConfig) -> str:
    """Return the SHA-256 of the bytes of the file a configuration names."""
    return hash_file(_location(config))


def check_seeds(config: SeedsConfig) -> None:
    """Check a file's rows before anything runs: all of them, or the first of a large file.

    A file behind a URI is only looked at where it is loaded: nothing here asks a network.

    Raises:
        BadInput: As `load_seeds`.
    """
    if not is_remote(config.path):
        load_seeds(config, max_rows=None if can_check_all(config) else CHECKED_ROWS)


def can_check_all(config: SeedsConfig) -> bool:
    """Say whether all of a file's rows can be looked at before anything runs."""
    return not is_remote(config.path) and size_bytes(_location(config)) <= CHECKED_BYTES


def split_seeds(seeds: Iterable[Seed], eval_share: float) -> SeedSplit:
    """Split seeds by content into those that train and those that evaluate.

    A seed is held out where a hash of its pair, or of its conversation where it has none, falls
    below `eval_share`. So a seed's half never depends on the others, and the share is met in
    expectation, not exactly.

    Args:
        seeds: Any seeds.
        eval_share: Part held out, in [0, 1).
    """
    split = SeedSplit([], [])
    for seed in seeds:
        fraction = int(digest(_SPLIT_SALT, *_twin_key(seed)), 16) / 16**ID_HEX
        (split.evaluation if fraction < eval_share else split.train).append(seed)
    return split


def take(seeds: Sequence[Seed], limit: Limit) -> list[Seed]:
    """Choose at most so many seeds of each label, evenly over the categories.

    Each label goes round its categories in name order, and within one takes seeds in the order
    of a hash of their pair, whole pairs first. Twins of one category are so chosen together
    wherever the two labels' limits reach equally far.

    Returns:
        The chosen seeds in the order given.
    """
    labels: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for seed in seeds:
        labels[_twin_key(seed)].add(seed.label)

    def priority(seed: Seed) -> tuple[bool, str, str]:
        key = _twin_key(seed)
        return (len(labels[key]) == 1, digest(*key), seed.seed_id)

    chosen: set[str] = set()
    for label in LABELS:
        ordered = sorted((s for s in seeds if s.label == label), key=priority)
        chosen.update(seed.seed_id for seed in _round_robin(ordered)[: getattr(limit, label)])
    return [seed for seed in seeds if seed.seed_id in chosen]


def decontaminate(
    train: Sequence[Seed], evaluation: Sequence[Seed], threshold: float = 0.8
) -> tuple[list[Seed], dict[str, str]]:
    """Drop the training seeds whose prompt is, or nearly is, an evaluation prompt of any label.

    Args:
        train: Seeds to train on.
        evaluation: Seeds to evaluate on.
        threshold: Least Jaccard similarity of near duplicates; see `synth.seeds.near_duplicates`.

    Returns:
        The seeds that stay, and the dropped ones' `seed_id` to that of the prompt they give away.
    """
    dropped = contaminated(
        {seed.seed_id: seed.prompt for seed in train},
        {seed.seed_id: seed.prompt for seed in evaluation},
        threshold,
    )
    return [seed for seed in train if seed.seed_id not in dropped], dropped


def _location(config: SeedsConfig) -> str:
    if config.path == "embedded":
        return str(files("synth") / "data" / "seeds.jsonl")
    return config.path


def _twin_key(seed: Seed) -> tuple[str, ...]:
    if seed.pair is not None:
        return ("pair", seed.source, seed.pair)
    return ("seed", seed.seed_id)


def _round_robin(ordered: Iterable[Seed]) -> list[Seed]:
    """Return seeds so that the first of every category come first, then the second, ..."""
    by_category = sorted(ordered, key=lambda seed: seed.category)
    ranked = [
        (rank, category, seed)
        for category, members in groupby(by_category, key=lambda seed: seed.category)
        for rank, seed in enumerate(members)
    ]
    return [seed for _, _, seed in sorted(ranked, key=lambda entry: entry[:2])]
