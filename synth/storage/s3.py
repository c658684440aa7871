"""The door's functions for `s3://` paths: see `synth.storage` for what each promises.

pyarrow's own S3 files are not used for writing: they upload in parts, publish what was written
so far when their block raises, and know no conditional create.

Throttling, 5xx, lost connections and timeouts are first met by botocore's adaptive mode, which
also slows this client down while a store sheds load. What gets past it, and bodies that end
early, which it does not see, are asked for again here.
A leaf: imports boto3.
"""

import base64
import errno
import hashlib
import io
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.fs as pa_fs
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.credentials import Credentials
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
from synth.credentials import redacted
from synth.errors import BadInput, RunFault
from synth.records import digest
from synth.storage.cache import cache_root, make_once
from synth.storage.paths import check_credentials, join, locate, settings

T = TypeVar("T")

ATTEMPTS = 3  # of botocore, before a request counts as failed once here
CONNECTIONS = 32
FIRST_WAIT_S, MAX_WAIT_S = 0.2, 5.0

# 408 and 429 say so; 409 is another writer of the same key, right now; some stores send a
# slow upload's timeout as a 400.
_TRANSIENT_STATUS = frozenset({408, 409, 429})
_TRANSIENT_CODES = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"})
_MISSING = frozenset({"NoSuchKey", "404"})  # the answer to a HEAD has no body to name it
_MAX_READ_CHARS, _MAX_SAID_CHARS = 2_000, 300  # of what a store says: looked at, and shown

log = logging.getLogger(__name__)
_lock = threading.Lock()
_opened: dict[StorageConfig, "_Opened"] = {}

TAIL_BYTES = 1 << 18  # holds the footer of any lease, and most leases whole
BLOCK_BYTES = 1 << 20  # least asked for at once, so that reading on costs no request a line

WRITER = "guideweave-writer"  # metadata: which call of `publish` created the object
PART_BYTES = 64 << 20  # larger files are uploaded and downloaded in parts of this size

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class _Opened(NamedTuple):
    """A client, and the credentials that it signs with, which may be others by and by."""

    client: Any
    credentials: Credentials | None


class Unsettled(Exception):
    """What was read contradicts what was told just before: ask again."""


def client() -> Any:
    """Return this process's client; threads share it.

    Raises:
        BadInput: The settings make no client, or the credentials no request.
    """
    return _opened_once().client


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
        # Not its cause: what that tells of the request and of the store's answer is not cut.
        raise _meaning(path, error, deadline_s) from None


def status_of(error: ClientError) -> int:
    """Return the HTTP status of a refusal."""
    return error.response["ResponseMetadata"].get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    """Return the store's own name of a refusal; of a HEAD's its status."""
    return error.response["Error"].get("Code", "")


def _opened_once() -> _Opened:
    section = settings()
    with _lock:
        if section not in _opened:
            _opened[section] = _open(section)
        return _opened[section]


def _open(section: StorageConfig) -> _Opened:
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
    check_credentials()
    try:
        session = Session()
        client = session.client(
            "s3", endpoint_url=section.endpoint_url, region_name=section.region, config=config
        )
        return _Opened(client, session.get_credentials())
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
        log.warning("%s: asking again: %s", path, _one_line(state.outcome.exception()))


def _meaning(path: str, error: Exception, deadline_s: float) -> Exception:
    """Return what a lasting fault says about the input, or about the run."""
    if _is_transient(error):
        told = _one_line(error)
        return RunFault(f"{path}: no answer within {deadline_s:g} s (storage.deadline_s): {told}")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        rule = "must be given by the environment, a profile, or the machine's role"
        return BadInput(file=path, field="credentials", value=None, rule=rule)
    if not isinstance(error, ClientError):
        value, rule = type(error).__name__, f"must be usable: {_one_line(error)}"
        return BadInput(file=path, field="storage", value=value, rule=rule)
    if code_of(error) in _MISSING:
        return FileNotFoundError(errno.ENOENT, "no such object", path)
    if code_of(error) == "NoSuchBucket":
        return BadInput(file=path, field="bucket", value=locate(path)[0], rule="must exist")
    code, message = _cut(code_of(error)), _cut(_message(error))
    if status_of(error) in (401, 403):
        rule = f"must be allowed to list, read, write and remove here: {message}"
        return BadInput(file=path, field="credentials", value=code, rule=rule)
    rule = f"must be something the store accepts: {message}"
    return BadInput(file=path, field="storage", value=code, rule=rule)


def _one_line(error: BaseException | None) -> str:
    """Return a fault on one line, without the credentials.

    botocore's own faults name an address. Where it knew none, it quotes the request's headers or
    the body of the answer: then the kind of fault has to do.
    """
    if isinstance(error, ClientError):
        return _cut(f"{code_of(error)}: {_message(error)}")
    if type(error) is HTTPClientError or isinstance(error, ResponseParserError):
        return type(error).__name__
    return _cut(str(error))


def _message(error: ClientError) -> str:
    return error.response["Error"].get("Message", "")


def _cut(said: str) -> str:
    """Return what a store said on a line of bounded length, without the credentials."""
    found = _opened_once().credentials
    secrets = [] if found is None else filter(None, found.get_frozen_credentials())
    return redacted(said[:_MAX_READ_CHARS], secrets)[:_MAX_SAID_CHARS]


class ObjectPart(NamedTuple):
    """Some bytes of an object.

    Attributes:
        start: Where they stand in it.
        data: The bytes.
        size: Of the whole object.
        tag: The version they are of.
    """

    start: int
    data: bytes
    size: int
    tag: str

    def get(self, start: int, end: int) -> bytes | None:
        """Return `start` to `end` of the object, where this part holds it."""
        if self.start <= start and end <= self.start + len(self.data):
            return self.data[start - self.start : end - self.start]
        return None


class RangedFile(io.RawIOBase):
    """One version of a remote object; its end is read when it is opened, with its size.

    Args:
        fetch: Returns a part, given the text of a byte range, and the version it has to be of.
    """

    def __init__(self, fetch: Callable[[str, str | None], ObjectPart]) -> None:
        self._fetch = fetch
        self._tail = self._block = fetch(f"-{TAIL_BYTES}", None)
        self._position = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, from the start, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._tail.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        start = min(self._position, self._tail.size)
        length = self._tail.size if size is None or size < 0 else size
        end = min(self._tail.size, start + length)
        data = self._get(start, end)
        self._position = end
        return data

    def _get(self, start: int, end: int) -> bytes:
        for part in (self._block, self._tail):
            if (data := part.get(start, end)) is not None:
                return data
        until = min(self._tail.size, max(end, start + BLOCK_BYTES))
        self._block = self._fetch(f"{start}-{until - 1}", self._tail.tag)
        return self._block.data[: end - start]


class Entry(NamedTuple):
    """A file of a folder: its name, its size, and the tag of its content."""

    name: str
    size: int
    tag: str


def publish(path: str, data: bytes) -> bool:
    """One PUT with `If-None-Match: *`; the store creates the object, or answers 412.

    An answer can be lost after the object was created, and asking again then gets a 412 for
    one's own object. So each call marks its object with a name of its own, and a 412 counts as
    lost only where the object bears another: exactly one of any number of callers is told
    True, also where all of them write the same bytes.
    """
    bucket, key = locate(path)
    writer = secrets.token_hex(16)

    def put() -> bool:
        try:
            _put(bucket, key, data, IfNoneMatch="*", Metadata={WRITER: writer})
        except ClientError as error:
            if status_of(error) != 412:
                raise
            return _writer(bucket, key) == writer
        return True

    return persist(path, put)


def replace(path: str, data: bytes) -> None:
    """One PUT."""
    persist(path, partial(_put, *locate(path), data))


def read(path: str) -> bytes:
    """One GET, again where its body ends before the length that it announced."""
    bucket, key = locate(path)
    return persist(path, lambda: _body(client().get_object(Bucket=bucket, Key=key)))


def open_input(path: str) -> pa.NativeFile:
    """Read ranges, the first of them from the end; later ones must be of the same version."""
    return pa.PythonFile(RangedFile(partial(_part, path)), mode="r")


def exists(path: str) -> bool:
    """One HEAD."""
    bucket, key = locate(path)
    try:
        persist(path, lambda: client().head_object(Bucket=bucket, Key=key))
    except FileNotFoundError:
        return False
    return True


def list_files(folder: str) -> list[str]:
    """Return the names of the objects one level below."""
    return [entry.name for entry in entries(folder)]


def list_folders(folder: str) -> list[str]:
    """Return the common prefixes one level below."""
    bucket, prefix = _prefix(folder)
    pages = persist(folder, lambda: list(_pages(bucket, Prefix=prefix, Delimiter="/")))
    found = (one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ()))
    names = (each.removeprefix(prefix).rstrip("/") for each in found)
    return sorted(name for name in names if name and not name.startswith("."))


def entries(folder: str) -> list[Entry]:
    """Return the files of a folder, by name."""
    bucket, prefix = _prefix(folder)
    pages = persist(folder, lambda: list(_pages(bucket, Prefix=prefix, Delimiter="/")))
    found = (one for page in pages for one in page.get("Contents", ()))
    files = (Entry(one["Key"].removeprefix(prefix), one["Size"], one["ETag"]) for one in found)
    return sorted(file for file in files if file.name and not file.name.startswith("."))


def remove(path: str) -> None:
    """One DELETE, which a missing object does not mind."""
    bucket, key = locate(path)
    persist(path, lambda: client().delete_object(Bucket=bucket, Key=key))


def remove_folder(path: str) -> None:
    """One DELETE an object: not every store takes many in one request."""
    bucket, prefix = _prefix(path)
    pages = persist(path, lambda: list(_pages(bucket, Prefix=prefix)))
    for key in [one["Key"] for page in pages for one in page.get("Contents", ())]:
        persist(path, partial(client().delete_object, Bucket=bucket, Key=key))


def upload(file: Path, path: str) -> None:
    """Copy a local file of any size to `path`, over what is there."""
    bucket, key = locate(path)

    def send() -> None:
        with file.open("rb") as stream:
            client().upload_fileobj(stream, bucket, key, Config=_transfer())

    persist(path, send)


def download_folder(path: str) -> Path:
    """Return a folder of the user's cache with the files of `path`, made once a content."""
    files = entries(path)
    if not files:
        raise FileNotFoundError(2, "no files", path)
    name = f"{path.rsplit('/', 1)[-1]}-{digest(path, files)[:12]}"

    def make(folder: Path) -> None:
        for file in files:
            _download(join(path, file.name), folder / file.name)

    return make_once(cache_root() / "models" / name, make)


def arrow_filesystem() -> pa_fs.FileSystem:
    """Return pyarrow's filesystem with the same settings, for libraries that take one."""
    section = settings()
    retry = pa_fs.AwsStandardS3RetryStrategy(max_attempts=10)
    given = {"endpoint_override": section.endpoint_url, "region": section.region}
    return pa_fs.S3FileSystem(
        connect_timeout=section.timeout_s,
        request_timeout=section.timeout_s,
        retry_strategy=retry,
        force_virtual_addressing=section.addressing_style == "virtual",
        **{name: value for name, value in given.items() if value is not None},
    )


def _put(bucket: str, key: str, data: bytes, **extra: Any) -> None:
    """Store `data`; the store refuses a body that is not of this MD5."""
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    client().put_object(Bucket=bucket, Key=key, Body=data, ContentMD5=md5, **extra)


def _writer(bucket: str, key: str) -> str | None:
    try:
        return client().head_object(Bucket=bucket, Key=key)["Metadata"].get(WRITER)
    except ClientError as error:
        if status_of(error) == 404:
            raise Unsettled("there, and gone again") from error
        raise


def _part(path: str, span: str, tag: str | None) -> ObjectPart:
    bucket, key = locate(path)
    same = {} if tag is None else {"IfMatch": tag}

    def get() -> ObjectPart:
        try:
            answer = client().get_object(Bucket=bucket, Key=key, Range=f"bytes={span}", **same)
        except ClientError as error:
            if code_of(error) == "InvalidRange":  # of an empty object no range can be had
                return ObjectPart(0, b"", 0, "")
            raise
        data = _body(answer)
        place = _RANGE.fullmatch(answer.get("ContentRange", ""))
        start, size = map(int, place.groups()) if place else (0, len(data))
        return ObjectPart(start, data, size, answer["ETag"])

    return persist(path, get)


def _body(answer: Any) -> bytes:
    """Read a body whole; botocore raises where it is shorter than its Content-Length."""
    with closing(answer["Body"]) as body:
        return body.read()


def _download(path: str, file: Path) -> None:
    bucket, key = locate(path)
    persist(path, lambda: client().download_file(bucket, key, str(file), Config=_transfer()))


def _transfer() -> TransferConfig:
    return TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)


def _prefix(folder: str) -> tuple[str, str]:
    bucket, key = locate(folder)
    return bucket, f"{key}/" if key else ""


def _pages(bucket: str, **what: str) -> Iterator[dict[str, Any]]:
    return client().get_paginator("list_objects_v2").paginate(Bucket=bucket, **what)
