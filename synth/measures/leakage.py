"""The leakage measure: does a trace give away that there were guidelines?

The student never sees them, so a trace that names or quotes them teaches it to speak of
something that is not there.
"""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from guidelines import GuidelineSet
from synth.judges.reading import ngrams, words
from synth.measures.base import Judgement

# All ours.
NGRAM = 5
MIN_NGRAMS = 10  # a text of fewer counts as having so many: a short common phrase is no quote
TITLE_MIN_WORDS = 3  # shorter titles ("Helping fully") are also plain English

_KINDS = r"(?:guide ?lines?|polic(?:y|ies)|guidance|rules?|instructions?|principles?)"
_OWN = (
    r"(?:safety|content|ethical|usage|given|provided|above|stated|following|relevant|written"
    r"|internal|model|system|moderation)"
)
_NAMING: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        (
            "cites",
            r"\b(?:according to|in line with|consistent with|as per|per|under|based on|violat\w+"
            r"|break\w*|breach\w*|against|contrary to|compl(?:y|ies|ying) with|adher\w+ to"
            r"|appl(?:y|ies|ying)|follow(?:s|ing)?|consult\w*|recall\w*)"
            rf" (?:the|my|our|these|those|this) (?:{_OWN} ){{0,2}}"
            r"(?:guide ?lines?|polic(?:y|ies))\b",
        ),
        ("owns", rf"\bmy (?:{_OWN} ){{0,2}}(?:guide ?lines?|polic(?:y|ies)|rules)\b"),
        ("safety", r"\b(?:safety|content|usage|moderation) (?:guide ?lines?|polic(?:y|ies))\b"),
        (
            "given",
            rf"\b{_KINDS},? (?:that |which )?(?:I|we)(?:'ve| have| was| were| am| are|'m|'re) "
            r"(?:been )?(?:given|told|asked|provided|supposed|shown|bound|following|instructed)",
        ),
        (
            "says",
            r"\b(?:the|my|these) (?:guide ?lines?) (?:say|says|state|ask|tell|require|suggest)",
        ),
        ("numbered", r"\bguide ?line (?:#|no\.? ?|number )?\d"),
        ("system_prompt", r"\b(?:my|the) system (?:prompt|instructions)\b"),
    )
)


def leakage(traces: pa.Table, guideline_sets: Sequence[GuidelineSet]) -> list[Judgement]:
    """Say whether reasoning or answer name or quote the guidelines.

    Value: the largest share of word 5-grams that a part of the trace and one guideline have in
    common, of the shorter of the two. Verdict: `named`, with the wording as raw, or `clean`.
    A trace made without guidelines is clean.
    """
    guidelines = [guideline for each in guideline_sets for guideline in each.guidelines]
    quoted = [_grams(guideline.text) for guideline in guidelines]
    titles = [g.title for g in guidelines if len(words(g.title)) >= TITLE_MIN_WORDS]
    found = []
    for row in traces.select(["guideline_ids", "reasoning", "answer"]).to_pylist():
        if not row["guideline_ids"]:
            found.append(Judgement(0.0, "clean", ""))
            continue
        parts = [row["reasoning"] or "", row["answer"] or ""]
        named = next(filter(None, (_naming(part, titles) for part in parts)), "")
        overlap = max((_overlap(_grams(part), quoted) for part in parts), default=0.0)
        found.append(Judgement(overlap, "named" if named else "clean", named))
    return found


def _naming(text: str, titles: Iterable[str]) -> str:
    """Return the first wording that names the guidelines, with its pattern's name, or nothing."""
    plain = " ".join(text.split())
    for name, pattern in _NAMING:
        if found := pattern.search(plain):
            return f"{name}: {found[0]}"
    lowered = plain.lower()
    return next((f"title: {title}" for title in titles if title.lower() in lowered), "")


def _overlap(grams: set[tuple[str, ...]], quoted: Iterable[set[tuple[str, ...]]]) -> float:
    return max(
        (len(grams & other) / max(MIN_NGRAMS, min(len(grams), len(other))) for other in quoted),
        default=0.0,
    )


def _grams(text: str) -> set[tuple[str, ...]]:
    return set(ngrams(words(text), NGRAM))
