"""Near-duplicate prompts: MinHash finds the candidates, exact Jaccard similarity decides.

Texts are compared by their sets of character 5-grams after normalisation. The sketch (Broder,
"On the resemblance and containment of documents", 1997) uses datasketch's SHA-1 hash under a
fixed seed, so results are the same on every machine; and since every candidate is verified, a
chance collision never makes a duplicate. A pair of exactly the threshold's similarity is missed
with a chance below one in a hundred, a closer one more rarely.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from datasketch import MinHash, MinHashLSH

VERSION = 1  # raised by hand when other texts would be near each other

_SHINGLE_CHARS = 5
_NUM_PERM = 64
_HASH_SEED = 1
_MAX_MISSED = 0.01


class Sketch(NamedTuple):
    """A text made ready to be compared.

    Attributes:
        key: Its id.
        form: Its normalised text.
        minhash: Of the form's 5-grams.
    """

    key: str
    form: str
    minhash: MinHash


def near_duplicates(texts: Mapping[str, str], threshold: float = 0.8) -> dict[str, str]:
    """Map each text that repeats another to the one that is kept for it.

    Texts are taken in the order of their ids, and kept unless near a kept one, so the answer
    does not depend on the order of `texts`, and a chain of small steps is not one cluster.

    Args:
        texts: Id to text.
        threshold: Least Jaccard similarity of near duplicates, above 0 and at most 1.

    Returns:
        Dropped id to kept id: of the kept texts near enough, the one with the smallest id.
    """
    index = Index(threshold)
    dropped: dict[str, str] = {}
    for sketch in sketches(texts):
        kept = index.first_match(sketch)
        if kept is None:
            index.add(sketch)
        else:
            dropped[sketch.key] = kept
    return dropped


def contaminated(
    train: Mapping[str, str], evaluation: Mapping[str, str], threshold: float = 0.8
) -> dict[str, str]:
    """Map each training text that an evaluation text gives away to that text.

    Args:
        train: Id to text.
        evaluation: Id to text.
        threshold: Least Jaccard similarity of near duplicates, above 0 and at most 1.

    Returns:
        Training id to the smallest evaluation id with the same normalised text, or else with
        one near enough. Training texts that are far from all are not in it.
    """
    if not evaluation:
        return {}
    return Index(threshold, sketches(evaluation)).matches(sketches(train))


def sketches(texts: Mapping[str, str]) -> Iterator[Sketch]:
    """Yield the sketches of texts, in the order of their ids."""
    forms = {key: normalize(texts[key]) for key in sorted(texts)}
    shingled = (
        [shingle.encode("utf-8", "surrogatepass") for shingle in _shingles(form)]
        for form in forms.values()
    )
    minhashes = MinHash.generator(shingled, num_perm=_NUM_PERM, seed=_HASH_SEED)
    return map(Sketch, forms, forms.values(), minhashes)


def normalize(text: str) -> str:
    """Return what of `text` counts for comparison.

    Compatibility forms and case are folded, invisible characters removed, and runs of
    punctuation and white space become one space. Text of nothing else is kept as it is, or
    all such texts would be the same.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_SPACED).split()) or text


class _Spaced(dict[int, str]):
    """A `str.translate` table filled as characters come up."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        to = "" if category == "Cf" else " " if category[0] in "CPZ" else chr(code)
        self[code] = to
        return to


_SPACED = _Spaced()


class Index:
    """Texts to look up by similarity; each normalised form is held once, under its first key."""

    def __init__(self, threshold: float, held: Iterable[Sketch] = ()) -> None:
        """Hold texts.

        Args:
            threshold: Least Jaccard similarity of near duplicates, above 0 and at most 1.
            held: In the order in which they are preferred where forms are the same.
        """
        self._threshold = threshold
        self._lsh = MinHashLSH(num_perm=_NUM_PERM, params=_bands(threshold))
        self._key_of: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        for sketch in held:
            self.add(sketch)

    def add(self, text: Sketch) -> None:
        """Hold a text; one with a form already held is left out."""
        if self._key_of.setdefault(text.form, text.key) == text.key:
            self._forms[text.key] = text.form
            self._lsh.insert(text.key, text.minhash, check_duplication=False)

    def first_match(self, text: Sketch) -> str | None:
        """Return the key held for this very form, or else the smallest near enough, if any."""
        if text.form in self._key_of:
            return self._key_of[text.form]
        shingles = _shingles(text.form)
        for key in sorted(map(str, self._lsh.query(text.minhash))):
            if _jaccard(shingles, _shingles(self._forms[key])) >= self._threshold:
                return key
        return None

    def holds(self, text: Sketch) -> bool:
        """Say whether a text of this very form is held."""
        return text.form in self._key_of

    def matches(self, texts: Iterable[Sketch]) -> dict[str, str]:
        """Map the id of each text that has a match to the id of that."""
        found = ((text.key, self.first_match(text)) for text in texts)
        return {key: match for key, match in found if match is not None}


def _bands(threshold: float) -> tuple[int, int]:
    """Return the (bands, rows) of most rows that miss a pair at `threshold` rarely enough.

    Two texts of similarity s share a band of r rows with chance s ** r; with b bands they are
    candidates with chance 1 - (1 - s ** r) ** b.
    """
    splits = ((_NUM_PERM // rows, rows) for rows in range(_NUM_PERM // 2, 1, -1))
    return next(
        (split for split in splits if (1 - threshold ** split[1]) ** split[0] <= _MAX_MISSED),
        (_NUM_PERM, 1),
    )


def _shingles(form: str) -> set[str]:
    starts = range(max(1, len(form) - _SHINGLE_CHARS + 1))
    return {form[start : start + _SHINGLE_CHARS] for start in starts}


def _jaccard(left: set[str], right: set[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
