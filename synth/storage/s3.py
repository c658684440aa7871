"""The door's functions for `s3://` paths: see `synth.storage` for what each promises.

A leaf: imports boto3. pyarrow's own S3 files are not used for writing: they upload in parts,
publish what was written so far when their block raises, and know no conditional create.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs as pa_fs
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from synth.digest import digest
from synth.storage.cache import cache_root, make_once
from synth.storage.paths import join, locate
from synth.storage.ranged import Part, RangedFile
from synth.storage.s3_client import Unsettled, client, code_of, persist, status_of
from synth.storage.settings import settings

WRITER = "guideweave-writer"  # metadata: which call of `publish` created the object
PART_BYTES = 64 << 20  # larger files are uploaded and downloaded in parts of this size

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


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


def _part(path: str, span: str, tag: str | None) -> Part:
    bucket, key = locate(path)
    same = {} if tag is None else {"IfMatch": tag}

    def get() -> Part:
        try:
            answer = client().get_object(Bucket=bucket, Key=key, Range=f"bytes={span}", **same)
        except ClientError as error:
            if code_of(error) == "InvalidRange":  # of an empty object no range can be had
                return Part(0, b"", 0, "")
            raise
        data = _body(answer)
        place = _RANGE.fullmatch(answer.get("ContentRange", ""))
        start, size = map(int, place.groups()) if place else (0, len(data))
        return Part(start, data, size, answer["ETag"])

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
