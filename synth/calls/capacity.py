"""How many calls a pool may have open: additive increase, multiplicative decrease.

A server's room is found the way TCP finds a path's (Chiu and Jain, 1989; RFC 5681): while calls
are answered the limit grows by a constant a round trip, and when one is refused for want of room
it shrinks by a factor, and nothing is sent for a while. Plain arithmetic on times handed in: no
clock is read here.
"""

import math
from dataclasses import dataclass, field
from random import Random

SHRINK = 0.7  # ours, between TCP's 0.5 and what is too timid to end a storm
GROWTH = 1 / 32  # ours: of the bound, a round trip; from 0.7 to the whole in about ten
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0  # where the server names none


@dataclass(slots=True)
class Capacity:
    """The state of one pool's limit.

    Calls that began before the last decrease say nothing about the limit it set: of a storm of
    refusals the first one counts, and their answers make nothing grow.

    Attributes:
        most: The bound. The limit starts here: it is what the configuration says is allowed.
        limit: Calls that may be open now; the whole part counts.
        paused_until: No call begins before this time.
    """

    most: int
    limit: float = field(init=False)
    paused_until: float = field(default=-math.inf, init=False)
    _shrunk_at: float = field(default=-math.inf, init=False)
    _unanswered: int = field(default=0, init=False)  # decreases since the last answer
    _random: Random = field(default_factory=Random, init=False)

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    def answered(self, began_at: float, full: bool) -> None:
        """Note an answer.

        Args:
            began_at: When its call began.
            full: Whether the limit was reached: unused room proves nothing about more.
        """
        if began_at < self._shrunk_at:
            return
        self._unanswered = 0
        if full:
            step = max(1.0, GROWTH * self.most)
            self.limit = min(float(self.most), self.limit + step / self.limit)

    def refused(
        self, began_at: float, now: float, open_calls: int, retry_after_s: float | None
    ) -> None:
        """Note that a call found no room.

        Args:
            began_at: When it began.
            now: The time.
            open_calls: Calls in flight, this one among them.
            retry_after_s: The pause that the server names; it is never cut short.
        """
        if retry_after_s is not None:
            self._pause(now + retry_after_s)
        if began_at < self._shrunk_at:
            return
        self.limit = max(1.0, SHRINK * min(self.limit, open_calls))
        self._shrunk_at = now
        if retry_after_s is None or retry_after_s < FIRST_PAUSE_S:
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._unanswered, 10))
            self._pause(now + longest * self._random.uniform(0.5, 1.0))
        self._unanswered += 1

    def _pause(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)
