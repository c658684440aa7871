"""The shape of a measure and of what it says."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from guidelines import GuidelineSet
from synth.records import digest

JUDGEMENTS = pa.schema(
    [
        ("row_id", pa.string()),
        ("value", pa.float64()),
        ("verdict", pa.string()),
        ("raw", pa.string()),
    ]
)

REVISION_HEX = 12


class Judgement(NamedTuple):
    """What a measure says about one trace.

    Attributes:
        value: A number, where the measure has one.
        verdict: One word of the measure's own vocabulary.
        raw: What the verdict was read from.
    """

    value: float | None
    verdict: str
    raw: str


MeasureFunction = Callable[[pa.Table, Sequence[GuidelineSet]], list[Judgement]]


class Measure(NamedTuple):
    """A named judgement about finished traces.

    Attributes:
        name: Its key in the table and part of its folder's name.
        version: Raised by hand when a judgement would come out differently; of the judges it
            asks as well.
        judge: Gives one judgement a row of a table of traces.
        columns: The columns of the traces it reads.
        reads_guidelines: Whether its judgements depend on the guideline sets.
    """

    name: str
    version: tuple[int, ...]
    judge: MeasureFunction
    columns: tuple[str, ...]
    reads_guidelines: bool = False

    def revision(self, guideline_sets: Sequence[GuidelineSet]) -> str:
        """Return the short digest of all that decides its judgements, the traces apart."""
        texts = sorted(s.digest for s in guideline_sets) if self.reads_guidelines else []
        return digest(self.name, self.version, texts)[:REVISION_HEX]
