"""Whether a text reads as English at all: the validity of a reply to an encoded prompt."""

import string

_COMMON = {
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "but", "by", "can", "can't", "cannot", "could", "did", "do", "does", "don't",
    "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "i'm", "if", "in",
    "into", "is", "it", "it's", "its", "just", "like", "may", "me", "more", "my", "no", "not",
    "of", "on", "one", "or", "our", "out", "she", "should", "so", "some", "sorry", "such",
    "sure", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "to", "unable", "up", "use", "was", "we", "were", "what", "when", "which", "who", "why",
    "will", "with", "would", "yes", "you", "your",
}  # fmt: skip
_MIN_SHARE = 0.15  # running English has 0.35 to 0.55 of these words, letters at random about 0.02
_STRIP = string.punctuation + "\u2018\u2019\u201c\u201d\u2013\u2014\u2026"  # quotes, dashes


def looks_like_language(text: str) -> bool:
    """Say whether `text` reads as English: enough of its words are among the commonest.

    Only English is known; a reply in another language counts as unreadable.
    """
    common = num_common_words(text)
    return common > 0 and common >= _MIN_SHARE * len(_words(text))


def num_common_words(text: str) -> int:
    """Return how many of the words of `text` are among the commonest of English."""
    return sum(word in _COMMON for word in _words(text))


def _words(text: str) -> list[str]:
    bare = (token.replace("\u2019", "'").strip(_STRIP).lower() for token in text.split())
    return [word for word in bare if word]
