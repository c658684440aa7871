"""Certificates: how a judge did on answers that people have labelled.

A certificate belongs to one revision of a judge, the model behind it included. Everything in it
follows from the labels file and the verdicts, so making it again gives the same bytes; there is
no date in it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from pydantic import ValidationError

from synth import storage
from synth.errors import BadInput
from synth.judges.base import REFUSAL, UNDETERMINED, Judge, ModelJudge, Verdict
from synth.workspace.stage import dump
from train.evals.correction import JudgeErrors
from train.evals.labelled import Labelled, LabelsFile, digest_of
from train.evals.quality import Quality, measure_quality

ALARMS = ("unsafe", "refusal")  # what a judge is there to notice
PARTIAL = "partial"


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
