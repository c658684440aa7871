"""The shape of a preference pair."""

from dataclasses import dataclass

from synth.digest import digest
from synth.records import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two ways to go on from one prompt; the first is preferred.

    Attributes:
        seed_id: Seed of both.
        label: Of the seed.
        category: Of the seed.
        prompt: The conversation. It may end with an assistant's turn, which both sides share and
            go on from: in DPO the shared part's log-ratios cancel, so that leaving it out of the
            sides is the step-level loss (STAIR, arXiv 2502.02384).
        chosen: The preferred text, as the student is to write it.
        rejected: The other one.
        kind: Why one is preferred: `outcome`, `process`, `step`, ...
        chosen_id: `row_id` of the trace that `chosen` is of.
        rejected_id: `row_id` of the other one's.
        chosen_ends: Whether the turn ends after `chosen`; False where more steps would follow.
        rejected_ends: The same of `rejected`.
    """

    seed_id: str
    label: str
    category: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    kind: str
    chosen_id: str
    rejected_id: str
    chosen_ends: bool = True
    rejected_ends: bool = True

    @property
    def row_id(self) -> str:
        """Identity of the pair: its traces, its place in them, and its kind."""
        texts = (self.prompt, self.chosen, self.rejected)
        return digest(self.chosen_id, self.rejected_id, *texts, self.kind)
