"""Why a trace is dropped, and the rules that look at one trace alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from synth.curate.policy import Policy
from synth.records import Outcome


class Drop(StrEnum):
    """The reasons, in the order in which they are looked for."""

    STALE = "stale"  # made by a model that is none of the run's any more, or from such traces
    OVER_BUDGET = "over_budget"  # made after the recipe's tokens were spent
    TRUNCATED = "truncated"  # the outcomes that are not `ok`
    UNPARSED = "unparsed"
    INVALID = "invalid"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    EARLIER_STEP = "earlier_step"  # the recipe's later step has the finished trace
    NO_CONTRAST = "no_contrast"  # of a step that serves pairs, and in none
    UNUSED_STEP = "unused_step"  # no training of the recipe uses its step
    REJECTED_BY_RECIPE = "rejected_by_recipe"  # by the recipe's own rule
    MISSING_SECTION = "missing_section"  # a part is missing, empty or not closed
    REPETITIVE = "repetitive"
    UNDETERMINED_REFUSAL = "undetermined_refusal"  # the judge can not tell whether it declines
    INCONSISTENT = "inconsistent"  # label, decision and answer do not fit together
    LEAKS_GUIDELINE = "leaks_guideline"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    CONTAMINATED = "contaminated"  # too near an evaluation prompt
    NEAR_DUPLICATE = "near_duplicate"  # another seed of this label says nearly the same
    SURPLUS_SIBLING = "surplus_sibling"  # better traces of the same seed fill its places
    UNBALANCED = "unbalanced"  # its kind has enough
    LESS_DIVERSE = "less_diverse"  # others make a more diverse set of the size the recipe wants


class Dropped(NamedTuple):
    """A reason, and what it was seen from."""

    reason: Drop
    detail: str


NOTHING_EXCLUDED: Mapping[str, Drop] = {}
_WHY_EXCLUDED = {
    Drop.STALE: "its model has been trained anew, or is another run's",
    Drop.OVER_BUDGET: "the recipe's tokens were spent before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules know about one trace: its outcome and what the measures said.

    Attributes:
        outcome: How its try ended.
        error: Why, where it did not end well.
        excluded: Why it cannot be used, whatever it says, where that is so.
        elsewhere: Why it is no supervised row whatever it says: the part its step plays.
        rejected: Why the recipe's own rule does not keep it; empty where it does.
        has_reasoning: Whether the recipe's format asks for reasoning.
        sections: Verdict of `sections`, as are the next three of theirs.
        consistency: Fit of label, decision and answer.
        leakage: Whether the guidelines are named.
        repetition: Whether a part loops.
        leak_overlap: Share of 5-grams in common with a guideline.
        repeated_share: Share of repeated 4-grams.
        garbled: The refusal judge found the answer degenerate.
        reasoning_words: Length of the reasoning.
        answer_words: Length of the answer.
    """

    outcome: str
    error: str = ""
    excluded: Drop | None = None
    elsewhere: Dropped | None = None
    rejected: str = ""
    has_reasoning: bool = True
    sections: str = ""
    consistency: str = ""
    leakage: str = ""
    repetition: str = ""
    leak_overlap: float = 0.0
    repeated_share: float = 0.0
    garbled: bool = False
    reasoning_words: int = 0
    answer_words: int = 0


def decide(facts: Facts, policy: Policy) -> Dropped | None:
    """Return why this trace alone is dropped, or None where nothing speaks against it."""
    if facts.excluded is not None:
        return Dropped(facts.excluded, _WHY_EXCLUDED[facts.excluded])
    if facts.outcome != Outcome.OK:
        return Dropped(Drop(facts.outcome), facts.error)
    if facts.elsewhere is not None:
        return facts.elsewhere
    for reason, find in _RULES:
        if detail := find(facts, policy):
            return Dropped(reason, detail)
    return None


def _rejected(facts: Facts, _: Policy) -> str | None:
    return facts.rejected or None


def _missing_section(facts: Facts, _: Policy) -> str | None:
    if facts.sections == "no_reasoning" and not facts.has_reasoning:
        return None
    return None if facts.sections == "complete" else facts.sections


def _repetitive(facts: Facts, policy: Policy) -> str | None:
    if facts.garbled:
        return "degenerate answer"
    over = facts.repeated_share > policy.max_repetition or facts.repetition == "degenerate"
    return f"repeated 4-grams {facts.repeated_share:.2f}" if over else None


def _undetermined(facts: Facts, policy: Policy) -> str | None:
    lost = policy.require_consistency and facts.consistency == "undetermined"
    return "the refusal judge has no verdict" if lost else None


def _inconsistent(facts: Facts, policy: Policy) -> str | None:
    differs = policy.require_consistency and facts.consistency == "inconsistent"
    return "label, decision and answer differ" if differs else None


def _leaks(facts: Facts, policy: Policy) -> str | None:
    if policy.forbid_naming and facts.leakage == "named":
        return "names the guidelines"
    over = facts.leak_overlap > policy.max_leak_overlap
    return f"5-gram overlap {facts.leak_overlap:.2f}" if over else None


def _too_short(facts: Facts, policy: Policy) -> str | None:
    if facts.has_reasoning and facts.reasoning_words < policy.min_reasoning_words:
        return f"reasoning of {facts.reasoning_words} words"
    short = facts.answer_words < policy.min_answer_words
    return f"answer of {facts.answer_words} words" if short else None


def _too_long(facts: Facts, policy: Policy) -> str | None:
    if facts.reasoning_words > policy.max_reasoning_words:
        return f"reasoning of {facts.reasoning_words} words"
    long = facts.answer_words > policy.max_answer_words
    return f"answer of {facts.answer_words} words" if long else None


_RULES: tuple[tuple[Drop, Callable[[Facts, Policy], str | None]], ...] = (
    (Drop.REJECTED_BY_RECIPE, _rejected),
    (Drop.MISSING_SECTION, _missing_section),
    (Drop.REPETITIVE, _repetitive),
    (Drop.UNDETERMINED_REFUSAL, _undetermined),
    (Drop.INCONSISTENT, _inconsistent),
    (Drop.LEAKS_GUIDELINE, _leaks),
    (Drop.TOO_SHORT, _too_short),
    (Drop.TOO_LONG, _too_long),
)
