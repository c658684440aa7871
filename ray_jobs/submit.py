"""`guideweave submit CONFIG --address URL`: the same run, as a Ray job.

The current folder goes with the job, and nothing else: Ray keeps what a job is submitted with
in clear, so no secret is ever part of it. The cluster's own environment holds them, by the names
that the configuration gives.
"""

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import click

from guidelines.plain import printable
from ray_jobs.config import RunConfig
from ray_jobs.console import progress_console, say
from ray_jobs.exits import BAD_INPUT, DONE, FAULT, INTERRUPTED, UNFINISHED, finish
from ray_jobs.job import config_argument, naming, set_option
from ray_jobs.logs import logging_to
from synth.checks.static import check_secrets, secret_names
from synth.cluster.job import check_seen_by_all
from synth.config.loading import load_config
from synth.credentials import read_credential
from synth.errors import BadInput, RunFault

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

EXCLUDES = (
    ".git",
    ".venv",
    "venv",
    "__pycache__",
    "/runs",
    ".env",
    ".env.*",
    ".netrc",
    ".aws",
    ".ssh",
    "*.pem",
    "*.key",
)
# Ray prefers these to the address it is called with.
_ELSEWHERE = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_OURS = frozenset((DONE, FAULT, BAD_INPUT, UNFINISHED, INTERRUPTED))
_AGAIN_S = 2.0
_LOST_S = 300.0  # a cluster that has not answered for so long is taken for gone
log = logging.getLogger(__name__)


@click.command()
@config_argument
@set_option
@click.option("--address", required=True, metavar="URL", help="Of the dashboard: http://host:8265.")
@click.option("--force", is_flag=True, help="Take the run over from a command that is at work.")
@click.option("--accept-drift", metavar="WHY", help="See the same option of `run`.")
@click.option("--no-wait", is_flag=True, help="Leave once the job is submitted.")
def command(
    file: str,
    overrides: Sequence[str],
    address: str,
    force: bool,
    accept_drift: str | None,
    no_wait: bool,
) -> int:
    """Run CONFIG as a job of a Ray cluster, follow it, and leave with its exit code.

    The job goes on when this command is interrupted. Submitting again resumes.
    """
    with naming(file), logging_to(progress_console()):
        config = load_config(file, overrides, RunConfig)
        check_submission(file, config)
        if names := secret_names(config):
            say(f"every node of the cluster must have in its environment: {', '.join(names)}")
        words = ["python", "-m", "ray_jobs.run", file]
        words += [word for override in overrides for word in ("--set", override)]
        words += ["--force"] * force
        words += ["--accept-drift", accept_drift] if accept_drift is not None else []
        client = connect_to_jobs(address)
        job = _submit(client, shlex.join(words))
        say(f"submitted {job}")
        if no_wait:
            return _tell_how(job, address, DONE)
        try:
            return job_exit(follow(client, job))
        except KeyboardInterrupt:
            return _tell_how(job, address, INTERRUPTED)


def check_submission(file: str, config: RunConfig) -> None:
    """Check what a job could only fail at; the job itself checks the rest where it runs.

    Raises:
        BadInput: The file is not among those that go with the job, the run's folder would not
            outlive it, or a secret is written where its name belongs.
    """
    if Path(file).is_absolute() or ".." in Path(file).parts:
        rule = "must lie in the current folder, which is what goes with the job"
        raise BadInput(file=file, field="file", value=file, rule=rule)
    check_seen_by_all(config.run)
    check_secrets(config, here=False)


def connect_to_jobs(address: str) -> "JobSubmissionClient":
    """Return a client of the cluster whose dashboard answers at `address`.

    Raises:
        BadInput: It is no such address, or wants a token that is not given or no header can carry.
        RunFault: Nothing answers there.
    """
    # Ray is not imported before it is needed.
    from ray.exceptions import AuthenticationError  # noqa: PLC0415
    from ray.job_submission import JobSubmissionClient  # noqa: PLC0415

    where = urlsplit(address)
    if where.scheme not in ("http", "https") or not where.hostname or "@" in where.netloc:
        rule = "must be the address of a cluster's dashboard, such as http://127.0.0.1:8265"
        raise BadInput(file="submit", field="--address", value=where.hostname, rule=rule)
    read_credential("RAY_AUTH_TOKEN")  # Ray's own error would quote it
    for name in _ELSEWHERE:
        os.environ.pop(name, None)
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        rule = "wants the cluster's token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"
        raise BadInput(file="submit", field="--address", value=address, rule=rule) from error
    except (OSError, RuntimeError) as error:
        raise RunFault(f"no cluster answers at {address}: {error}") from error


def follow(client: "JobSubmissionClient", job: str) -> Any:
    """Print what the job logs until it has ended, and return Ray's `JobDetails` of it.

    A lost connection is made again: the cluster may be busy, and the job goes on meanwhile.

    Raises:
        RunFault: The cluster has not answered for too long.
    """
    shown, lost_at = _Shown(), None
    while True:
        try:
            asyncio.run(_tail(client, job, shown))
            found: Any = client.get_job_info(job)
            lost_at = None
            if found.status.is_terminal():
                shown.show(client.get_job_logs(job), 0)
                return found
        except (OSError, RuntimeError, aiohttp.ClientError) as error:
            log.warning("the cluster does not answer, trying again: %s", error)
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > _LOST_S:
                raise RunFault(f"the cluster has not answered for {_LOST_S:.0f} s") from error
        time.sleep(_AGAIN_S)


def job_exit(found: Any) -> int:
    """Return the exit code of a job that has ended."""
    from ray.job_submission import JobStatus  # noqa: PLC0415 - see above

    if found.status == JobStatus.STOPPED:
        say("the job was stopped: submitting again resumes")
        return INTERRUPTED
    if found.driver_exit_code in _OURS:
        return found.driver_exit_code
    why = (found.message or "no reason was given").splitlines()[0]
    say(f"the job was lost, submitting again resumes: {why}")
    return FAULT


def _submit(client: "JobSubmissionClient", entrypoint: str) -> str:
    uploaded = {"working_dir": str(Path.cwd()), "excludes": list(EXCLUDES)}
    try:
        return client.submit_job(entrypoint=entrypoint, runtime_env=uploaded)
    except (OSError, RuntimeError) as error:
        raise RunFault(f"the cluster did not take the job: {error}") from error
    except ValueError as error:  # the folder is too large
        rule = f"must be small enough to go with a job: {error}"
        raise BadInput(file="submit", field="folder", value=str(Path.cwd()), rule=rule) from error


@dataclass(slots=True)
class _Shown:
    """How much of a job's log has been printed: a new connection tells it from the beginning."""

    characters: int = 0

    def show(self, text: str, start: int) -> None:
        """Print of `text`, which stands at `start` of the log, what has not been."""
        click.echo(printable(text[max(0, self.characters - start) :]), nl=False)
        self.characters = max(self.characters, start + len(text))


async def _tail(client: "JobSubmissionClient", job: str, shown: _Shown) -> None:
    start = 0
    async for text in client.tail_job_logs(job):
        shown.show(text, start)
        start += len(text)


def _tell_how(job: str, address: str, code: int) -> int:
    say(f"the job goes on; to follow it: ray job logs --follow --address {address} {job}")
    say(f"to stop it: ray job stop --address {address} {job}")
    return code


if __name__ == "__main__":
    finish(command)
