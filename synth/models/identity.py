"""Which model a role names: its identity for fingerprints, and where it is loaded from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from synth import storage
from synth.config.schema import EndpointConfig, ModelConfig
from synth.errors import BadInput
from synth.models.embedded import EMBEDDED_DIGEST, embedded_model_folder
from synth.records import digest, digest_bytes

EMBEDDED = "embedded"
SCRIPTED = "scripted"

_SMALL_BYTES = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


class Readable(Protocol):
    """An open file, local or remote."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, all where `size` is negative."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """What a model is, as far as it can be told without loading it.

    Attributes:
        name: For people: `embedded`, a hub name, a folder's name, `host/served-name`.
        digest: Equal for equal models.
        verifiable: False where the model behind the name may change unseen.
        path: What is loaded: a folder, local or on `s3://` (see `storage.local_copy`), or a hub
            name; empty for an endpoint or a script.
        revision: Commit of a hub model, where known.
    """

    name: str
    digest: str
    verifiable: bool
    path: str
    revision: str | None = None

    @property
    def model_id(self) -> str:
        """The name that records carry, such as `embedded@1f2e3d4c5b6a`."""
        return f"{self.name}@{self.digest[:12]}"


def identify(model: ModelConfig) -> ModelIdentity:
    """Return the identity of the model that `model` names.

    Raises:
        BadInput: There is no such model folder, or it is none.
    """
    if model.endpoint is not None:
        return _endpoint(model.endpoint)
    name = model.model
    assert name is not None, "a ModelConfig has a model where it has no endpoint"
    if model.backend == SCRIPTED or name == SCRIPTED:
        script = str(model.engine_args.get("script", ""))
        return ModelIdentity(name=name, digest=digest(name, script), verifiable=True, path="")
    if name == EMBEDDED:
        folder = str(embedded_model_folder())
        return ModelIdentity(name=name, digest=EMBEDDED_DIGEST, verifiable=True, path=folder)
    if storage.is_remote(name):
        return _remote_folder(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _folder(folder)
    if _HUB_NAME.fullmatch(name) is None or name.startswith("."):
        raise _no_model(name, "is not a folder; give one, a hub name, or embedded")
    return _hub(name, model.revision)


def folder_digest(folder: Path) -> str:
    """Return a digest of a model folder: its small files, and the headers of its weights.

    A safetensors header holds every tensor's name, type, shape and place, not its values:
    the bytes of the weights are not read, however many gigabytes they are, but their size
    counts. Two trainings of one architecture differ in their `manifest.json`, which is small.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    parts = []
    for path in files:
        with path.open("rb") as stream:
            parts.append([path.name, *_content(path.name, path.stat().st_size, stream)])
    return digest(parts)


def _content(name: str, size: int, stream: Readable) -> Iterator[str | int]:
    yield size
    if name.endswith(".safetensors"):
        length = int.from_bytes(stream.read(8), "little")
        yield digest_bytes(stream.read(min(length, size)))
    elif size < _SMALL_BYTES:
        yield digest_bytes(stream.read())


def _folder(folder: Path) -> ModelIdentity:
    if not (folder / "config.json").is_file():
        raise _no_model(str(folder), "is no model folder: it has no config.json")
    path = folder.resolve()
    return ModelIdentity(
        name=path.name, digest=folder_digest(path), verifiable=True, path=str(path)
    )


def _remote_folder(folder: str) -> ModelIdentity:
    """Identify a folder on `s3://`, with the digest that its files would have locally."""
    folder = folder.rstrip("/")
    names = storage.list_files(folder)
    if "config.json" not in names:
        raise _no_model(folder, "is no model folder: it has no config.json")
    parts = []
    for name in names:
        with storage.open_input(storage.join(folder, name)) as stream:
            parts.append([name, *_content(name, stream.size(), stream)])
    return ModelIdentity(
        name=folder.rsplit("/", 1)[-1], digest=digest(parts), verifiable=True, path=folder
    )


def _hub(name: str, revision: str | None) -> ModelIdentity:
    commit = revision if _COMMIT.fullmatch(revision or "") else _cached_commit(name, revision)
    return ModelIdentity(
        name=name,
        digest=digest(name, commit or revision),
        verifiable=commit is not None,
        path=name,
        revision=commit or revision,
    )


def _cached_commit(name: str, revision: str | None) -> str | None:
    """Return the commit that the local hub cache holds for `revision`, asking nobody."""
    # Comes with the engine's extras; a driver that only submits does without it.
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _endpoint(endpoint: EndpointConfig) -> ModelIdentity:
    host = urlsplit(endpoint.base_url).netloc.rpartition("@")[2]
    if not host:
        raise BadInput(
            file="config",
            field="endpoint.base_url",
            value=endpoint.base_url,
            rule="must be a URL such as https://host/v1",
        )
    return ModelIdentity(
        name=f"{host}/{endpoint.model}",
        digest=digest(host, endpoint.model),
        verifiable=False,
        path="",
    )


def _no_model(value: str, rule: str) -> BadInput:
    return BadInput(file="config", field="model", value=value, rule=rule)
