"""Measures: judgements about finished traces, made once and kept.

A measure looks at traces and says something about each; what is made of it is decided later, by
a policy. Results live beside the traces, one file a lease, and are never replaced: a measure
that would say something else has another revision and other files.
"""

from synth.measures.base import JUDGEMENTS, Judgement, Measure
from synth.measures.leakage import leakage
from synth.measures.rules import consistency, length, refusal, repetition, sections
from synth.measures.store import (
    MEASURES,
    ensure_measures,
    measure_lease,
    measure_revisions,
    measured,
    publish_measure,
    read_lease_measures,
    read_measures,
)

__all__ = [
    "JUDGEMENTS",
    "MEASURES",
    "Judgement",
    "Measure",
    "consistency",
    "ensure_measures",
    "leakage",
    "length",
    "measure_lease",
    "measure_revisions",
    "measured",
    "publish_measure",
    "read_lease_measures",
    "read_measures",
    "refusal",
    "repetition",
    "sections",
]
