"""One S3 client a process, requests that outlast faults, and what the lasting ones mean.

A leaf: imports boto3. Throttling, 5xx, lost connections and timeouts are first met by
botocore's adaptive mode, which also slows this client down while a store sheds load. What
gets past it, and bodies that end early, which it does not see, are asked for again here.
"""

import errno
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from synth.config.schema import StorageConfig
from synth.errors import BadInput, RunFault
from synth.storage.paths import locate
from synth.storage.settings import settings

T = TypeVar("T")

ATTEMPTS = 3  # of botocore, before a request counts as failed once here
CONNECTIONS = 32
FIRST_WAIT_S, MAX_WAIT_S = 0.2, 5.0

# 408 and 429 say so; 409 is another writer of the same key, right now; some stores send a
# slow upload's timeout as a 400.
_TRANSIENT_STATUS = frozenset({408, 409, 429})
_TRANSIENT_CODES = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"})
_MISSING = frozenset({"NoSuchKey", "404"})  # the answer to a HEAD has no body to name it

log = logging.getLogger(__name__)
_lock = threading.Lock()
_clients: dict[StorageConfig, Any] = {}


class Unsettled(Exception):
    """What was read contradicts what was told just before: ask again."""


def client() -> Any:
    """Return this process's client; threads share it.

    Raises:
        BadInput: The settings make no client.
    """
    section = settings()
    with _lock:
        if section not in _clients:
            _clients[section] = _open(section)
        return _clients[section]


def persist(path: str, call: Callable[[], T]) -> T:
    """Return what `call` returns; call it again after faults that may pass.

    Raises:
        FileNotFoundError: There is no such object.
        BadInput: The store refuses: no bucket, no credentials, no permission, ...
        RunFault: It did not answer within `deadline_s`.
    """
    deadline_s = settings().deadline_s
    retrying = Retrying(
        stop=stop_after_delay(deadline_s),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=MAX_WAIT_S),
        retry=retry_if_exception(_is_transient),
        before_sleep=lambda state: _tell(path, state),
        reraise=True,
    )
    try:
        return retrying(call)
    except (BotoCoreError, ClientError, ResponseParserError, Unsettled) as error:
        raise _meaning(path, error, deadline_s) from error


def status_of(error: ClientError) -> int:
    """Return the HTTP status of a refusal."""
    return error.response["ResponseMetadata"].get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    """Return the store's own name of a refusal; of a HEAD's its status."""
    return error.response["Error"].get("Code", "")


def _open(section: StorageConfig) -> Any:
    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
        connect_timeout=section.timeout_s,
        read_timeout=section.timeout_s,
        max_pool_connections=CONNECTIONS,
        s3={"addressing_style": section.addressing_style},
        # Content-MD5 is sent in their place, which every store knows; these only some do.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return Session().client(
            "s3", endpoint_url=section.endpoint_url, region_name=section.region, config=config
        )
    except (BotoCoreError, ValueError) as error:
        rule = f"must make a client of S3: {error}"
        value = section.endpoint_url
        raise BadInput(file="config", field="storage", value=value, rule=rule) from error


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, ClientError):
        status = status_of(error)
        return status >= 500 or status in _TRANSIENT_STATUS or code_of(error) in _TRANSIENT_CODES
    transient = (HTTPClientError, IncompleteReadError, ResponseParserError, Unsettled)
    return isinstance(error, transient)


def _tell(path: str, state: RetryCallState) -> None:
    if state.outcome is not None:
        log.warning("%s: asking again: %s", path, state.outcome.exception())


def _meaning(path: str, error: Exception, deadline_s: float) -> Exception:
    """Return what a lasting fault says about the input, or about the run."""
    if _is_transient(error):
        return RunFault(f"{path}: no answer within {deadline_s:g} s (storage.deadline_s): {error}")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        rule = "must be given by the environment, a profile, or the machine's role"
        return BadInput(file=path, field="credentials", value=None, rule=rule)
    if not isinstance(error, ClientError):
        value = type(error).__name__
        return BadInput(file=path, field="storage", value=value, rule=f"must be usable: {error}")
    code, message = code_of(error), error.response["Error"].get("Message", "")
    if code in _MISSING:
        return FileNotFoundError(errno.ENOENT, "no such object", path)
    if code == "NoSuchBucket":
        return BadInput(file=path, field="bucket", value=locate(path)[0], rule="must exist")
    if status_of(error) in (401, 403):
        rule = f"must be allowed to list, read, write and remove here: {message}"
        return BadInput(file=path, field="credentials", value=code, rule=rule)
    rule = f"must be something the store accepts: {message}"
    return BadInput(file=path, field="storage", value=code, rule=rule)
