"""How this process reaches `s3://`: one value a process, handed on to every worker.

The default leaves all to the environment that AWS's own tools read (`AWS_ENDPOINT_URL_S3`,
`AWS_DEFAULT_REGION`, profiles). Credentials always come from there, and never stand here.
"""

from synth.config.schema import StorageConfig

_used = StorageConfig()


def use(section: StorageConfig) -> None:
    """Reach `s3://` as `section` says from now on, in this whole process."""
    global _used
    _used = section


def settings() -> StorageConfig:
    """Return what this process uses, to be handed on to another one."""
    return _used
