"""Exit codes, in one place: how every command ends.

0 done; 1 a fault of ours; 2 bad input; 3 finished, but too many rows failed or a quota was not
met; 130 interrupted, and the same command resumes.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

import click

from guidelines import BadInput
from guidelines.plain import one_line, printable
from synth.errors import RunFault

DONE, FAULT, BAD_INPUT, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130

_MAX_CHARS, _END = 600, 200
# What storage may come to in the middle of a run: full, gone, broken, or no longer ours to write.
_STORAGE = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ESTALE,
    )
)
_RESUMES = "interrupted: the same command resumes"


def finish(command: click.Command, argv: list[str] | None = None, name: str | None = None) -> None:
    """Run `command` on `argv` and leave with its exit code.

    Args:
        command: What to run.
        argv: Its words; the process's own where None.
        name: What it is called in messages; the process's own name where None.
    """
    signal.signal(signal.SIGTERM, _as_interrupt)
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)  # a console script leaves it out; a user's recipe stands there
    sys.exit(exit_code(lambda: command.main(argv, name, standalone_mode=False)))


def exit_code(call: Callable[[], int | None]) -> int:
    """Return the exit code of `call`, which returns one, or None for `DONE`, or raises."""
    try:
        return call() or DONE
    except BadInput as error:
        return _say(str(error), BAD_INPUT)
    except click.ClickException as error:
        return _say(_usage(error), BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        return _say(_RESUMES, INTERRUPTED)
    except BaseException as error:
        fault = _own(error)
        if isinstance(fault, BadInput):
            return _say(str(fault), BAD_INPUT)
        if isinstance(fault, RunFault):
            return _say(_one_line(fault), FAULT)
        if isinstance(fault, OSError) and fault.errno in _STORAGE:
            return _say(_storage(fault), FAULT)
        if isinstance(error, SystemExit) and error.code == signal.SIGTERM:
            return _say(_RESUMES, INTERRUPTED)  # what Ray makes of a request to terminate
        if isinstance(error, SystemExit):
            raise
        print(printable("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        return FAULT


def _own(error: BaseException) -> BaseException:
    """Return the error that Ray has wrapped, where it is one that is told in a line."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BadInput | RunFault | OSError) else error


def _one_line(fault: RunFault) -> str:
    """Return a fault on one line; of a long one, such as a replica's traceback, both ends."""
    line = " ".join(str(fault).split())
    return line if len(line) <= _MAX_CHARS else f"{line[:_END]} ... {line[-_MAX_CHARS + _END :]}"


def _storage(fault: OSError) -> str:
    """Return what the system refused; the rows it cost are still owed."""
    where = f"{fault.filename}: " if fault.filename else ""
    return f"{where}{fault.strerror}; once that is mended, the same command resumes"


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "guideweave"
    return f"{command}: {error.format_message().rstrip('.')}; see {command} --help"


def _say(line: str, code: int) -> int:
    print(one_line(line), file=sys.stderr)
    return code


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """Take a request to terminate as Ctrl-C, which everything below knows."""
    signal.raise_signal(signal.SIGINT)
