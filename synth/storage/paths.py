"""Paths, local or `s3://bucket/folder/...`, and how this process reaches `s3://`.

Paths are plain text, looked at without asking anybody. The default settings leave all to the
environment that AWS's own tools read (`AWS_ENDPOINT_URL_S3`, `AWS_DEFAULT_REGION`, profiles).
Credentials always come from there, and never stand here.
"""

import re
from pathlib import Path

from synth.config.schema import StorageConfig
from synth.credentials import read_credential
from synth.errors import BadInput

SCHEME = "s3://"

_BUCKET = re.compile(r"[a-zA-Z0-9][\w.-]{1,254}")

_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",  # the older name of the one above
)
_used = StorageConfig()


def is_remote(path: str) -> bool:
    """Say whether `path` names something that is not on this machine."""
    return "://" in path


def check_path(path: str) -> None:
    """Check that `path` is one that the door can open.

    Raises:
        BadInput: Its scheme is unknown, its bucket has no name, or a part of it is `.` or `..`.
    """
    if is_remote(path):
        locate(path)


def locate(path: str) -> tuple[str, str]:
    """Return the bucket and the key of an `s3://` path; the key of a bucket itself is empty.

    Raises:
        BadInput: As `check_path`.
    """
    bucket, _, key = path.removeprefix(SCHEME).partition("/")
    key = key.rstrip("/")
    if not path.startswith(SCHEME):
        rule = "must be a local path, or s3://bucket/folder"
    elif _BUCKET.fullmatch(bucket) is None:
        rule = "must name a bucket: s3://bucket/folder"
    elif {"", ".", ".."} & set(key.split("/")) and key:
        rule = "must have no empty part, and none that is . or .."
    else:
        return bucket, key
    raise BadInput(file=path, field="path", value=path, rule=rule)


def join(*parts: str) -> str:
    """Join path parts with one slash between them."""
    head, *tail = parts
    return "/".join([head.rstrip("/"), *(part.strip("/") for part in tail)])


def absolute(path: str) -> str:
    """Return `path` as it is called from every folder: equal for equal places."""
    return path.rstrip("/") if is_remote(path) else str(Path(path).absolute())


def use(section: StorageConfig) -> None:
    """Reach `s3://` as `section` says from now on, in this whole process."""
    global _used
    _used = section


def check_credentials() -> None:
    """Check the credentials in the environment, before a library quotes them in its errors.

    Raises:
        BadInput: One holds what no header of a request can carry.
    """
    for name in _CREDENTIALS:
        read_credential(name)


def settings() -> StorageConfig:
    """Return what this process uses, to be handed on to another one."""
    return _used
