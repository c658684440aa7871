"""Logging, configured once, here, at the entry point: our lines to people, everything to a file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from guidelines import BadInput
from guidelines.plain import one_line, printable

# Ray gives these handlers of their own, on stderr, when it is imported.
_SELF_WILLED = ("ray", "ray.serve", "ray.data", "ray.train")
OURS = ("guidelines", "synth", "train", "ray_jobs")
# Not one of ours: how a command ended is shown by its exit, and only kept here.
_ending = logging.getLogger("exit")
FILE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def logging_to(
    console: Console, *, run: Path | None = None, verbose: bool = False
) -> Iterator[None]:
    """Send our own lines to `console`, and every line to a file of the run.

    Args:
        console: Where people look; lines go through Rich where it is a terminal.
        run: Whose `logs/driver.log` keeps every line, and how the command ended.
        verbose: Show debug lines of ours, and warnings of the libraries below.

    Raises:
        BadInput: The run's folder can not be written.
    """
    _tame()
    shown = _shown(console)
    shown.addFilter(_ours_and_warnings if verbose else _is_ours)
    handlers = [shown] if run is None else [shown, _kept(run)]
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    except BaseException:
        _ending.error("the command ended by", exc_info=True)
        raise
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(before)


def _shown(console: Console) -> logging.Handler:
    if console.is_terminal:
        rich = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")
        rich.setFormatter(_Plain("%(message)s"))
        return rich
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    return handler


def _kept(run: Path) -> logging.Handler:
    path = run / "logs" / "driver.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        rule = f"must be writable: {error.strerror}"
        raise BadInput(file="config", field="run", value=str(run), rule=rule) from error
    handler.setFormatter(_Plain(FILE_FORMAT))
    return handler


class _Plain(logging.Formatter):
    """Escapes what a terminal acts on; a line that goes on is indented, so none can be forged."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        return printable(super().format(record)).replace("\n", "\n  ")


class _LogFile(logging.FileHandler):
    """A log on a disk that may fill up: that is said once, and the run goes on."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say that lines are lost, where the file can not be written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            lost = f"{self.baseFilename}: {error.strerror}: log lines are lost"
            print(one_line(lost), file=sys.stderr)

    def close(self) -> None:
        """Close the file; lines that it could not take have been told of."""
        with suppress(OSError):
            super().close()


class _Propagating(logging.Logger):
    """A library's logger that takes no handler: its lines go where all others go."""

    def addHandler(self, hdlr: logging.Handler) -> None:
        """Leave the handler out."""

    @property
    def propagate(self) -> bool:
        """Always true."""
        return True

    @propagate.setter
    def propagate(self, value: bool) -> None:
        """Leave it at that."""


def _tame() -> None:
    """Create the loggers that would write past us before their library does."""
    usual = logging.getLoggerClass()
    logging.setLoggerClass(_Propagating)
    for name in _SELF_WILLED:
        logging.getLogger(name)
    logging.setLoggerClass(usual)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in OURS


def _ours_and_warnings(record: logging.LogRecord) -> bool:
    return _is_ours(record) or record.levelno >= logging.WARNING
