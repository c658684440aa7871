"""How a command that a test has called ended."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr."""
        [line] = self.err.splitlines()
        return line


Cli = Callable[..., Ended]
