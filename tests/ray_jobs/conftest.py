"""The type of the fixture that calls the command line."""

from tests.commands import Cli

__all__ = ["Cli"]
