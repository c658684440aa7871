"""How good a judge is: its verdicts beside people's labels, in the numbers of a certificate.

Undetermined verdicts are counted, and part of no number but `accuracy_bounds`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import model_validator

from synth.config.schema import Strict
from synth.judges.base import UNDETERMINED
from train.evals.agreement import (
    Counts,
    Interval,
    class_agreement,
    count_table,
    kappa_interval,
    kappa_of,
    macro_f1,
    share,
)
from train.evals.intervals import Resampling
from train.evals.rates import DIGITS

RESAMPLING = Resampling(resamples=10_000, seed=0)


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
