"""Words of a text and how often it says them again."""

import re

WORD = re.compile(r"\w+(?:['\u2019]\w+)*")

REPEAT_NGRAM = 4  # ours: long enough that idioms do not count, short enough to see loops


def words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without punctuation."""
    return WORD.findall(text.lower())


def ngrams(tokens: list[str], size: int) -> list[tuple[str, ...]]:
    """Return the runs of `size` neighbouring tokens, none where there are fewer."""
    return list(zip(*(tokens[start:] for start in range(size)), strict=False))


def repeated_share(text: str) -> float:
    """Return the share of 4-grams of words in `text` that stood there before, in [0, 1]."""
    grams = ngrams(words(text), REPEAT_NGRAM)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
