"""An event loop on simulated time: waiting takes none, and what would hang or spin is an error."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_MAX_STEPS_AT_ONCE = 100_000  # of the loop, at one moment


class _Selector(selectors.SelectSelector):
    """Jumps to the next timer in place of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._steps = 0

    def select(self, timeout: float | None = None) -> list:
        if timeout is None:
            raise AssertionError("nothing will ever happen again: a deadlock")
        self._steps = 0 if timeout > 0 else self._steps + 1
        assert self._steps < _MAX_STEPS_AT_ONCE, "time stands still: a busy loop"
        self.now += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """See the module's docstring."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now


def simulate(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)
