"""Certification: how a judge does on answers that people have labelled.

A certificate belongs to one revision of a judge, the model behind it included. Everything in it
follows from the labels file and the verdicts, so making it again gives the same bytes; there is
no date in it. Undetermined verdicts are counted, and part of no number but `accuracy_bounds`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Self

import numpy as np
import pyarrow.parquet as pq
from pydantic import ValidationError, model_validator

from synth import storage
from synth.config.schema import Strict
from synth.errors import BadInput
from synth.judges.base import REFUSAL, UNDETERMINED, Exchange, Judge, ModelJudge, Verdict
from synth.seeds.files import FileRow, hash_file, read_file_rows
from synth.workspace.stage import dump
from train.evals.agreement import (
    Counts,
    Interval,
    JudgeErrors,
    class_agreement,
    count_table,
    kappa_interval,
    kappa_of,
    macro_f1,
    share,
)
from train.evals.metrics import DIGITS
from train.evals.stats import Resampling

MANY_LABELS = 8  # of those that no mapping covers: as many are named
LABEL_CHARS = 24  # a longer value is no label, and its text is not repeated

RESAMPLING = Resampling(resamples=10_000, seed=0)

ALARMS = ("unsafe", "refusal")  # what a judge is there to notice
PARTIAL = "partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsFile:
    """Where the labelled answers stand.

    Attributes:
        path: A CSV, JSONL or parquet file, or its URI.
        text: Column of the judged text.
        label: Column of the label.
        prompt: Column of the request; None where the judge sees none.
        rival: Column of a second answer, for judges that compare.
        classes: Label to class, for labels that are no class by themselves.
    """

    path: str
    text: str
    label: str
    prompt: str | None
    rival: str | None
    classes: Mapping[str, str]

    @property
    def columns(self) -> dict[str, str | None]:
        """The file's columns by what they are to us."""
        found = {"text": self.text, "label": self.label}
        return found | {"prompt": self.prompt, "rival": self.rival}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One answer and the class people put it into."""

    exchange: Exchange
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _LabelledRow:
    """One row: the exchange, and the label as it is written."""

    exchange: Exchange
    value: str


def read_labelled(source: LabelsFile, classes: Sequence[str]) -> list[Labelled]:
    """Return the labelled answers in file order, those without text among them.

    Raises:
        BadInput: The file can not be read, a column is not there, a cell is of another type,
            or labels mean none of `classes`: all of these are listed, with their counts.
    """
    with _naming_the_option():
        told = list(_rows(source))
    if not told:
        raise BadInput(file=source.path, field="rows", value=0, rule="must hold labelled rows")
    meaning = {**{name: name for name in classes}, **source.classes}
    if unknown := Counter(one.value for one in told if one.value not in meaning):
        raise _unmapped(source, unknown, classes)
    return [Labelled(exchange=one.exchange, label=meaning[one.value]) for one in told]


def digest_of(path: str) -> str:
    """Return the SHA-256 of a labels file.

    Raises:
        BadInput: It can not be read.
    """
    with _naming_the_option():
        return hash_file(path)


def _rows(source: LabelsFile) -> Iterator[_LabelledRow]:
    wanted = [name for name in source.columns.values() if name is not None]
    seen: dict[str, None] | None = None  # columns, in their order; None before the first row
    with closing(read_file_rows(source.path, wanted)) as rows:
        for row in rows:
            seen = (seen or {}) | dict.fromkeys(row.cells)
            yield _labelled_row(source, row)
    missing = [name for name in wanted if seen is not None and name not in seen]
    if missing:
        raise _no_column(source, missing[0], list(seen or ()))


def _labelled_row(source: LabelsFile, row: FileRow) -> _LabelledRow:
    prompt, text, rival = (
        _text(source, row, name) for name in (source.prompt, source.text, source.rival)
    )
    value = _label(source, row)
    return _LabelledRow(exchange=Exchange(prompt=prompt, text=text, rival=rival), value=value)


def _text(source: LabelsFile, row: FileRow, column: str | None) -> str:
    """Return a cell; one that is not there is blank, and the judge says what that means."""
    value = None if column is None else row.cells.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _cell(source, row, column, type(value).__name__, "must be text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _cell(source, row, column, value[error.start], "must be valid Unicode") from error
    return value


def _label(source: LabelsFile, row: FileRow) -> str:
    """Return a label as one would write it after `--map`: 1, true and 1.0 are plain words."""
    value = row.cells.get(source.label)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise _cell(source, row, source.label, type(value).__name__, "must be text or a number")


def _cell(source: LabelsFile, row: FileRow, column: object, value: str, rule: str) -> BadInput:
    return BadInput(file=source.path, field=f"{row.place}: {column}", value=value, rule=rule)


def _no_column(source: LabelsFile, column: str, seen: Sequence[str]) -> BadInput:
    """Return the error of a column that is in no row, naming those there are."""
    option = next(ours for ours, name in source.columns.items() if name == column)
    if source.path.lower().endswith(".parquet"):  # of which only the wanted ones were read
        remote = storage.is_remote(source.path)
        seen = pq.read_schema(storage.open_input(source.path) if remote else source.path).names
    rule = f"must be a column of the file, which has {', '.join(seen)}"
    return BadInput(file=source.path, field=f"--{option}", value=column, rule=rule)


def _unmapped(source: LabelsFile, unknown: Counter[str], classes: Sequence[str]) -> BadInput:
    order = sorted(unknown, key=lambda value: (-unknown[value], value))
    named = [f"{_shown(value)} ({unknown[value]})" for value in order[:MANY_LABELS]]
    if len(order) > MANY_LABELS:
        named.append(f"and {len(order) - MANY_LABELS} more values")
    rule = (
        f"{'is' if len(order) == 1 else 'are'} covered by no --map VALUE=CLASS, and no class of "
        f"the judge: {', '.join(classes)}"
    )
    value = f"{sum(unknown.values())} rows"
    field = f"column {source.label}"
    return BadInput(file=source.path, field=field, value=value, rule=f"{', '.join(named)} {rule}")


def _shown(value: str) -> str:
    if not value:
        return "(empty)"
    return repr(value) if len(value) <= LABEL_CHARS else f"<{len(value)} characters>"


@contextmanager
def _naming_the_option() -> Iterator[None]:
    """Say that it is the labels file, where the reader of seeds speaks of seeds."""
    try:
        yield
    except BadInput as error:
        if error.field != "seeds.path":
            raise
        told = {"file": error.file, "value": error.value, "rule": error.rule}
        raise BadInput(field="--labels", **told) from error


class ClassQuality(Strict):
    """How a judge did on one class; None where nothing was counted.

    Attributes:
        n: Answers that people put into it, undetermined verdicts included.
        precision: Of the answers the judge put into it, the share that people did, too.
        precision_interval: 95 %, Wilson's; so are the others, F1's by way of Jaccard's index.
        recall: Of the answers that people put into it, the share the judge did, too.
        f1: Their harmonic mean.
        sensitivity: The recall, by its name in diagnostics.
        specificity: Of the answers that people put elsewhere, the share the judge did, too.
    """

    n: int
    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    f1: float | None
    f1_interval: Interval | None
    sensitivity: float | None
    sensitivity_interval: Interval | None
    specificity: float | None
    specificity_interval: Interval | None


class Quality(Strict):
    """What verdicts on labelled answers say of their judge.

    Attributes:
        classes: What is told apart.
        n: Labelled answers.
        determined: Those with a verdict.
        undetermined: Those without.
        accuracy: Share of determined answers with people's class; None where there are none.
        accuracy_interval: Wilson's.
        accuracy_bounds: Over all answers, the undetermined all wrong and all right.
        kappa: Cohen's, over determined answers; None where one class is all there is.
        kappa_interval: Bootstrap over clusters.
        macro_f1: Mean F1 of the classes that occur.
        per_class: Each class against all others.
        confusion: People's class to the judge's verdict to how often.
    """

    classes: tuple[str, ...]
    n: int
    determined: int
    undetermined: int
    accuracy: float | None
    accuracy_interval: Interval | None
    accuracy_bounds: Interval
    kappa: float | None
    kappa_interval: Interval | None
    macro_f1: float | None
    per_class: dict[str, ClassQuality]
    confusion: dict[str, dict[str, int]]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        rows, columns = {*self.classes}, {*self.classes, UNDETERMINED}
        counted = self.confusion.values()
        if {*self.confusion} != rows or any({*row} != columns for row in counted):
            raise ValueError("confusion must have a row a class, and one column more")
        cells = [count for row in counted for count in row.values()]
        if min(cells) < 0 or sum(cells) != self.n or self.determined + self.undetermined != self.n:
            raise ValueError("confusion must hold n answers, each determined or undetermined")
        if {*self.per_class} != rows:
            raise ValueError("per_class must hold every class")
        return self


def measure_quality(
    labels: Sequence[str], verdicts: Sequence[str], clusters: Sequence[str], classes: Sequence[str]
) -> Quality:
    """Return the quality of `verdicts` beside `labels`, one of each an answer, at least one.

    Args:
        labels: People's classes.
        verdicts: The judge's, or `undetermined`.
        clusters: What each answer belongs to, such as its prompt.
        classes: All that occur.
    """
    pairs = list(zip(labels, verdicts, strict=True))
    rated = [at for at, verdict in enumerate(verdicts) if verdict != UNDETERMINED]
    decided, drawn = [pairs[at] for at in rated], [clusters[at] for at in rated]
    table = count_table(decided, classes)
    right, n = int(np.trace(table)), len(labels)
    accuracy = share(right, len(rated))
    found = Counter(pairs)
    return Quality(
        classes=tuple(classes),
        n=n,
        determined=len(rated),
        undetermined=n - len(rated),
        accuracy=_rounded(accuracy.value),
        accuracy_interval=_ends(accuracy.interval),
        accuracy_bounds=(_round(right / n), _round((right + n - len(rated)) / n)),
        kappa=_rounded(kappa_of(table)),
        kappa_interval=_ends(kappa_interval(decided, drawn, classes, RESAMPLING)),
        macro_f1=_rounded(macro_f1(table)),
        per_class={
            name: _class_quality(table, at, labels.count(name)) for at, name in enumerate(classes)
        },
        confusion={
            people: {said: found[people, said] for said in (*classes, UNDETERMINED)}
            for people in classes
        },
    )


def _class_quality(table: Counts, index: int, num_labelled: int) -> ClassQuality:
    found = class_agreement(table, index)
    numbers = {
        "precision": found.precision,
        "recall": found.sensitivity,
        "f1": found.f1,
        "sensitivity": found.sensitivity,
        "specificity": found.specificity,
    }
    fields = {name: _rounded(number.value) for name, number in numbers.items()}
    ends = {f"{name}_interval": _ends(number.interval) for name, number in numbers.items()}
    return ClassQuality.model_validate({"n": num_labelled, **fields, **ends})


def _round(value: float) -> float:
    return round(value, DIGITS)


def _rounded(value: float | None) -> float | None:
    return None if value is None else _round(value)


def _ends(interval: Interval | None) -> Interval | None:
    return None if interval is None else (_round(interval[0]), _round(interval[1]))


class Certificate(Quality):
    """What is known of a judge.

    Attributes:
        judge: Its name.
        revision: Of the judge and its model.
        role: The section of a configuration that names its model; None for rules.
        model: Identity of that model; None for rules.
        merged: Verdicts that the labels do not tell apart, to what they count as.
        labels: Name of the labels file.
        data_sha256: Of its bytes.
        columns: Its columns that were read, by what they were read as.
        map: Labels that are no class by themselves, to their classes.
        prompts: Distinct requests among the answers, which are what is resampled; None where
            the judge was shown none, and each answer stands for itself.
        blank: Answers without text.
        undetermined_reasons: Why there is no verdict, with how often.
        verdicts: What the judge said, before anything was merged.
    """

    schema_version: Literal[1]
    judge: str
    revision: str
    role: str | None
    model: str | None
    merged: dict[str, str]
    labels: str
    data_sha256: str
    columns: dict[str, str | None]
    map: dict[str, str]
    prompts: int | None
    blank: int
    undetermined_reasons: dict[str, int]
    verdicts: dict[str, int]


def certify(
    judge: Judge,
    revision: str,
    model: str | None,
    source: LabelsFile,
    labelled: Sequence[Labelled],
    verdicts: Sequence[Verdict],
) -> Certificate:
    """Return the certificate of a judge.

    Labels of a refusal judge's file that know no partial refusal can not say which of the two
    other classes it is: there it counts as a refusal, as XSTest (arXiv 2308.01263) counts it.

    Args:
        judge: The judge.
        revision: Its revision.
        model: Identity of its model; None for rules.
        source: The labels file.
        labelled: Its rows.
        verdicts: The judge's, one a row.
    """
    labels = [one.label for one in labelled]
    merged = _merged(judge, labels)
    said = [merged.get(one.verdict, one.verdict) for one in verdicts]
    prompts = [one.exchange.prompt for one in labelled]
    clusters = [prompt or f"row {row}" for row, prompt in enumerate(prompts)]
    classes = [name for name in judge.classes if name not in merged]
    quality = measure_quality(labels, said, clusters, classes)
    reasons = Counter(one.reason for one in verdicts if one.verdict == UNDETERMINED)
    return Certificate(
        **dict(quality),
        schema_version=1,
        judge=judge.name,
        revision=revision,
        role=judge.role if isinstance(judge, ModelJudge) else None,
        model=model,
        merged=merged,
        labels=PurePath(source.path).name,
        data_sha256=digest_of(source.path),
        columns=source.columns,
        map=dict(source.classes),
        prompts=len({*prompts}) if source.prompt else None,
        blank=sum(not one.exchange.text.strip() for one in labelled),
        undetermined_reasons=dict(reasons),
        verdicts=dict(Counter(one.verdict for one in verdicts)),
    )


def write_certificate(path: str, certificate: Certificate) -> None:
    """Write a certificate, over what is there; equal certificates are equal bytes.

    Raises:
        BadInput: The file can not be written.
    """
    try:
        storage.replace(path, dump(certificate.model_dump(mode="json")))
    except OSError as error:
        rule = "must be a file that can be written"
        raise BadInput(file=path, field="--out", value=error.strerror, rule=rule) from error


def read_certificate(path: str) -> Certificate:
    """Read a certificate.

    Raises:
        BadInput: There is none, or it is not what `write_certificate` writes.
    """
    try:
        return Certificate.model_validate_json(storage.read(path), strict=True)
    except OSError as error:
        rule = "must be a file of `guideweave judge certify`"
        raise BadInput(file=path, field="file", value=error.strerror, rule=rule) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "certificate"
        value = None if first["type"] == "missing" else first["input"]
        raise BadInput(file=path, field=field, value=value, rule=first["msg"]) from error


def matches(certificate: Certificate, judge: str, revision: str) -> bool:
    """Say whether the certificate is of that revision of that judge."""
    return (certificate.judge, certificate.revision) == (judge, revision)


def errors_of(certificate: Certificate, *positive: str) -> JudgeErrors:
    """Return how often the judge was right on answers of the classes `positive`, and on others.

    All counts are 0 where the certificate does not tell one of these classes apart.
    """
    told = set(positive) <= set(certificate.classes)
    found = positives = cleared = negatives = 0
    for people, row in certificate.confusion.items() if told else ():
        determined = sum(count for verdict, count in row.items() if verdict != UNDETERMINED)
        hits = sum(row[verdict] for verdict in positive)
        if people in positive:
            found, positives = found + hits, positives + determined
        else:
            cleared, negatives = cleared + determined - hits, negatives + determined
    return JudgeErrors(found=found, positives=positives, cleared=cleared, negatives=negatives)


def sensitivity_and_specificity(certificate: Certificate) -> dict[str, float | None]:
    """Return both for the class the judge is there to notice, unsafe answers or refusals."""
    alarm = next((name for name in ALARMS if name in certificate.classes), None)
    found = None if alarm is None else certificate.per_class[alarm]
    return {
        "sensitivity": None if found is None else found.sensitivity,
        "specificity": None if found is None else found.specificity,
    }


def _merged(judge: Judge, labels: Sequence[str]) -> dict[str, str]:
    """Return the verdicts that `labels` do not tell apart, to what they count as."""
    if tuple(judge.classes) == REFUSAL and PARTIAL not in labels:
        return {PARTIAL: "refusal"}
    return {}
