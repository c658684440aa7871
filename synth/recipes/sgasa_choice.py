"""Which of a prompt's sampled answers SGASA takes, and why not the others."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from synth.calls.together import together
from synth.judges.refusal import judge_refusal
from synth.recipes.base import Row
from synth.recipes.sgasa_asking import Asker
from synth.recipes.sgasa_options import SgasaOptions
from synth.records import Item, Outcome, Trace

DECLINES, COMPLIES, UNDETERMINED = "declines", "complies", "undetermined"  # ours: of an answer
WANTED = {"harmful": DECLINES, "benign": COMPLIES}  # paper
UNWANTED = {"harmful": COMPLIES, "benign": DECLINES}  # paper
STANCES = {"refusal": DECLINES, "partial": DECLINES, "compliance": COMPLIES}  # ours
DECISIONS = {"decline": DECLINES, "help": COMPLIES}  # ours
NAMING = r"\bguide ?lines?\b"  # ours

# Why an answer is not the one taken.
NO_SCORE, OTHER_TAKEN, NAMES = "no score", "another is taken", "names guidelines"  # ours


def stance_of(answer: Trace, options: SgasaOptions) -> str:
    """Say what an answer does, from its wording; one that can not be read is `undetermined`.

    So is one that does something else than its own decision says.
    """
    if answer.outcome != Outcome.OK:
        return UNDETERMINED
    if options.refusal_words:
        told = answer.answer.lower()
        declines = any(word.lower() in told for word in options.refusal_words)
        stance = DECLINES if declines else COMPLIES
    else:
        stance = STANCES.get(judge_refusal(answer.answer).verdict, UNDETERMINED)
    decision = answer.payload.get("decision")
    return stance if decision is None or DECISIONS[decision] == stance else UNDETERMINED


async def choose(item: Item, answers: Sequence[Trace], asker: Asker) -> list[Trace]:
    """Return the answers, their payloads telling `stance`, `score` and `why_not`.

    Taken is, of a harmful prompt's, the first that declines; of a benign one's, the first of
    those with the best score that the model itself gives. A score that can not be read is none.
    """
    told = [_first_look(answer, item.seed.label, asker.options) for answer in answers]
    fitting = [place for place, about in enumerate(told) if about["why_not"] is None]
    if item.seed.label == "benign":
        asked = (asker.score(item.seed.prompt, answers[place].answer) for place in fitting)
        for place, score in zip(fitting, await together(asked), strict=True):
            told[place] |= {"score": score, "why_not": NO_SCORE if score is None else None}
        scored = [place for place in fitting if told[place]["score"] is not None]
        fitting = sorted(scored, key=lambda place: -told[place]["score"])
    for place in fitting[1:]:
        told[place]["why_not"] = OTHER_TAKEN
    # Rows beyond the quotas are left out for diversity, of labels as well.
    categories = [item.seed.category, item.seed.label]
    return [
        replace(answer, payload={**answer.payload, **about, "categories": categories})
        for answer, about in zip(answers, told, strict=True)
    ]


def why_not(row: Row) -> str | None:
    """Say why an answer is not taken; None where it is."""
    return json.loads(row["payload"])["why_not"]


def ended_well(row: Row) -> bool | None:
    """Say whether an answer is the one taken, or one that does what its label forbids.

    None for all others: they are in no pair.
    """
    about = json.loads(row["payload"])
    if about["why_not"] is None:
        return True
    return False if about["stance"] == UNWANTED[row["label"]] else None


def _first_look(answer: Trace, label: str, options: SgasaOptions) -> dict[str, Any]:
    stance, why = stance_of(answer, options), None
    if stance != WANTED[label]:
        why = stance
    elif options.forbid_naming and _names_guidelines(answer):
        why = NAMES
    return {"stance": stance, "score": None, "why_not": why}


def _names_guidelines(answer: Trace) -> bool:
    texts = (answer.reasoning, answer.answer)
    return any(re.search(NAMING, text, re.IGNORECASE) for text in texts)
