"""A worker's live numbers, for progress, metrics and the watchdog."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from synth.calls.metering import Meter, RoleCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleUse:
    """What one role has of its pool in one worker: its calls now, and the tokens of all answers."""

    calls_running: int
    calls_queued: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A worker at a moment.

    Attributes:
        outcomes: Items it has ended, by outcome.
        output_tokens: Tokens made for them and for those at work.
        roles: What each role has of its pool.
        oldest_row: The item that has been at work for longest; empty where none is.
        oldest_step: The step of its recipe that item is at.
        oldest_age_s: Seconds since it began.
        oldest_waits_for: What it waits for.
    """

    outcomes: dict[str, int]
    output_tokens: int
    roles: dict[str, RoleUse]
    oldest_row: str
    oldest_step: int
    oldest_age_s: float
    oldest_waits_for: str


def take_snapshot(
    outcomes: Mapping[str, int],
    output_tokens: int,
    meters: Mapping[tuple[str, int], Meter],
    roles: Mapping[str, RoleCalls],
) -> Snapshot:
    """Return a worker's numbers.

    Args:
        outcomes: Ended items by outcome.
        output_tokens: Their tokens.
        meters: The accounts of the attempts at work, by `(item_id, try)`.
        roles: Each role's calls.
    """
    key, oldest = min(
        meters.items(), key=lambda entry: entry[1].started_at, default=(("", 0), None)
    )
    return Snapshot(
        outcomes=dict(outcomes),
        output_tokens=output_tokens + sum(m.output_tokens for m in meters.values()),
        roles={role: _use(calls) for role, calls in roles.items()},
        oldest_row=key[0],
        oldest_step=oldest.step if oldest else 0,
        oldest_age_s=time.monotonic() - oldest.started_at if oldest else 0.0,
        oldest_waits_for=oldest.waiting_for if oldest else "",
    )


def _use(calls: RoleCalls) -> RoleUse:
    return RoleUse(
        calls_running=calls.running,
        calls_queued=calls.queued,
        prompt_tokens=calls.prompt_tokens,
        output_tokens=calls.output_tokens,
    )
