"""Curation: finished traces, their measures and a policy become training data.

A pure function: the same three give the same bytes. Nothing is lost: every trace is a supervised
row, or in a preference pair, or in `drops.parquet` with a reason from an enumeration.
"""

from synth.curate.counting import AcceptedCount, Counting
from synth.curate.curation import curate, curated_folder
from synth.curate.local import MEASURED, accept
from synth.curate.policy import Policy, load_policy
from synth.curate.preference import PREFERENCE
from synth.curate.rules import Drop, Dropped, decide
from synth.curate.select import Selection, select
from synth.curate.shards import SFT

__all__ = [
    "MEASURED",
    "PREFERENCE",
    "SFT",
    "AcceptedCount",
    "Counting",
    "Drop",
    "Dropped",
    "Policy",
    "Selection",
    "accept",
    "curate",
    "curated_folder",
    "decide",
    "load_policy",
    "select",
]
