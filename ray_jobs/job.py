"""The shape of the commands that work on a run: parse, check, set the logs up, work."""

import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from guidelines.plain import one_line
from ray_jobs.checks import check_run
from ray_jobs.config import RunConfig
from ray_jobs.console import live_progress, progress_console, results_console
from ray_jobs.logs import logging_to
from synth import storage
from synth.config.loading import load_config
from synth.config.schema import ModelConfig
from synth.errors import BadInput, RunFault
from synth.synthesize import RunOptions

config_argument = click.argument("file", metavar="CONFIG", type=click.Path())
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field, such as teacher.model=Qwen/Qwen3-8B; the value is read as YAML.",
)
verbose_option = click.option("--verbose", is_flag=True, help="Show more of what happens.")
_RUN_OPTIONS = (
    config_argument,
    set_option,
    click.option("--force", is_flag=True, help="Take the run over from a command that is at work."),
    click.option(
        "--accept-drift",
        metavar="WHY",
        help="Add rows made differently to this run, and record why.",
    ),
    verbose_option,
)
dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Answer with a script in place of a model, into <run>-dry-run; nothing is trained.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command's work.

    Attributes:
        config: The run, its fields checked.
        options: How to go about it.
        console: Where results go.
    """

    config: RunConfig
    options: RunOptions
    console: Console


def run_command(work: Callable[..., int | None]) -> click.Command:
    """Make the command of a verb that works on one run.

    `work` gets a `Job` and the options that stand on it as decorators, and returns an exit
    code, or None for done.
    """
    return _command(work, of_several=False)


def several_runs_command(work: Callable[..., int | None]) -> click.Command:
    """Make the command of a verb that works on a run, or on all runs of a comparison."""
    return _command(work, of_several=True)


def _command(work: Callable[..., int | None], *, of_several: bool) -> click.Command:
    @functools.wraps(work)
    def command(
        file: str,
        overrides: Sequence[str],
        force: bool,
        accept_drift: str | None,
        verbose: bool,
        dry_run: bool = False,
        **own: Any,
    ) -> int | None:
        with naming(file):
            config = load_config(file, overrides, RunConfig)
            config = dry(config) if dry_run else config
            if config.compare is not None and not of_several:
                rule = "only run works on a comparison; its runs are tokens and rows in its folder"
                raise BadInput(file="config", field="compare", value=config.run, rule=rule)
            storage.use(config.storage)
            # Rows of a dry run mean nothing, so none of them is ever worth refusing.
            why = "a dry run" if dry_run else accept_drift
            check_run(config, accept_drift=why)
            shown = progress_console()
            folder = storage.local_folder(config.run)
            with (
                logs_kept(config.run),
                logging_to(shown, run=folder, verbose=verbose),
                live_progress(shown) as tell,
            ):
                options = RunOptions(force=force, accept_drift=why, tell=tell)
                job = Job(config=config, options=options, console=results_console())
                return work(job, **own)

    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return click.command()(command)


@contextmanager
def logs_kept(run: str) -> Iterator[None]:
    """Copy what this machine has logged to a remote run's `logs/<host>/` when the command ends.

    Until then, and where that fails, it lies in the user's cache: see `storage.local_folder`.
    """
    try:
        yield
    except BaseException:
        try:
            _upload_logs(run)
        except (BadInput, RunFault) as fault:  # how the command ended is what it exits with
            click.echo(one_line(f"the logs stay on this machine: {fault}"), err=True)
        raise
    _upload_logs(run)


def _upload_logs(run: str) -> None:
    if storage.is_remote(run):
        folder = storage.join(run, "logs")
        here = storage.join(folder, socket.gethostname())
        storage.upload_folder(storage.local_folder(folder), here)


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Say in which file a field stands, where only "config" is known below."""
    try:
        yield
    except BadInput as error:
        if error.file != "config":
            raise
        raise BadInput(file=file, field=error.field, value=error.value, rule=error.rule) from error


def dry(config: RunConfig) -> RunConfig:
    """Return the same run with scripted models, in this process, without students."""
    scripted = ModelConfig(model="scripted")
    roles = {
        role: scripted
        for role in ("teacher", "judge", "guard")
        if getattr(config, role) is not None
    }
    here = config.limits.model_copy(update={"workers": 0})
    run = f"{config.run.rstrip('/')}-dry-run"
    own = {"run": run, "limits": here, "finetune": None, "evaluate": None, "compare": None}
    changes = own | {"target": None} | roles
    return config.model_copy(update=changes)
