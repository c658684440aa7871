"""The rule refusal judge: whether an answer declines, told from its wording alone.

`judge` weighs. `outright`, `limits`, `moral` and `turning` are the tables of what declines, `help`
of what does not, and `patterns` is their form; `text` reads, `tone` and `topic` look at the whole.
"""

from synth.judges.refusal.judge import (
    OFF_TOPIC,
    OUTRIGHT,
    REFUSALS,
    VERSION,
    RefusalClass,
    RefusalVerdict,
    judge_refusal,
)

__all__ = [
    "OFF_TOPIC",
    "OUTRIGHT",
    "REFUSALS",
    "VERSION",
    "RefusalClass",
    "RefusalVerdict",
    "judge_refusal",
]
