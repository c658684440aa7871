"""The files of a suite, read by the table of published formats or by a mapping of columns."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TypedDict

from synth.config.schema import SeedsConfig
from synth.records import Seed
from synth.seeds.files import Row, read_rows, sha256
from synth.seeds.seeds import load_seeds, seeds_of
from train.evals.config import SuiteConfig
from train.evals.suite_formats import FORMATS, SuiteFormat


class SuiteContent(TypedDict):
    """What a suite's files hold; see `train.evals.suites_suites.Suite`."""

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
        sha256={path: sha256(path) for path in paths},
        left_out=dict(left_out),
    )


def _formatted(suite: SuiteConfig, form: SuiteFormat, left_out: Counter[str]) -> list[Seed]:
    """Read a format's one or two files as one source, so that twins find each other."""
    main = SeedsConfig(path=suite.path, columns=dict(form.columns), label=suite.label)
    seeds = seeds_of(main, _adapted(main, form, left_out))
    if suite.benign is None:
        return seeds
    other = SeedsConfig(path=suite.benign, columns=dict(form.columns), label="benign")
    source = PurePath(suite.path).name
    twins = seeds_of(other, _adapted(other, form, left_out))
    return [*seeds, *(replace(twin, source=source) for twin in twins)]


def _adapted(source: SeedsConfig, form: SuiteFormat, left_out: Counter[str]) -> Iterator[Row]:
    for row in read_rows(source.path, form.read_columns):
        label = form.label_of(source.path, row.cells) or source.label
        reason = form.left_out(row.cells, label)
        if reason is None:
            yield form.adapted(row, label)
        else:
            left_out[reason] += 1
