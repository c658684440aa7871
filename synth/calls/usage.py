"""What calls took, as the servers count it, and what it cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synth.records import Reply

_PER = 1_000_000  # tokens that a price is given for


@dataclass(slots=True)
class Usage:
    """Tokens of some answered calls.

    Attributes:
        calls: Their number.
        uncounted: Those of them whose server gave no counts; theirs are in no sum.
        prompt_tokens: Tokens read.
        output_tokens: Tokens made.
    """

    calls: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def add(self, reply: Reply) -> None:
        """Add a call."""
        self.calls += 1
        self.uncounted += not reply.counted
        self.prompt_tokens += reply.prompt_tokens
        self.output_tokens += reply.output_tokens

    def join(self, other: "Usage") -> None:
        """Add the calls of `other`."""
        self.calls += other.calls
        self.uncounted += other.uncounted
        self.prompt_tokens += other.prompt_tokens
        self.output_tokens += other.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run's calls cost.

    Attributes:
        by_role: What each priced role's counted calls cost, in the currency of its prices.
        uncounted: Calls of priced roles that no server counted: their cost is undetermined.
    """

    by_role: Mapping[str, float]
    uncounted: int

    @property
    def total(self) -> float | None:
        """The sum; None where calls were not counted."""
        return None if self.uncounted else sum(self.by_role.values())


def total_usage(parts: Iterable[Mapping[str, Usage]]) -> dict[str, Usage]:
    """Return the sum of `parts`, by role."""
    total: dict[str, Usage] = {}
    for part in parts:
        for role, usage in part.items():
            total.setdefault(role, Usage()).join(usage)
    return total


def read_usage(footers: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, Usage]:
    """Return what the calls of lease files took, by role, from what their footers say."""
    return total_usage(
        {role: Usage(**numbers) for role, numbers in footer.items()} for footer in footers
    )


def cost(usage: Mapping[str, Usage], config: Mapping[str, Any]) -> Cost | None:
    """Return what `usage` cost at the prices in `config`, a run's resolved configuration.

    Returns:
        None where no role that was called has a price: engines of one's own have none.
    """
    by_role, uncounted = {}, 0
    for role, used in usage.items():
        endpoint = (config.get(role) or {}).get("endpoint") or {}
        per_input = endpoint.get("price_per_million_input_tokens")
        per_output = endpoint.get("price_per_million_output_tokens")
        if per_input is None or per_output is None:
            continue
        by_role[role] = (used.prompt_tokens * per_input + used.output_tokens * per_output) / _PER
        uncounted += used.uncounted
    return Cost(by_role=by_role, uncounted=uncounted) if by_role else None
