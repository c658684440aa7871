"""The deep checks: storage, the user's own code, the models, servers.

Each has a deadline, and says what it waited for. They run for `check --deep` and before a
run directory's first row.
"""

import asyncio
import queue
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from synth import storage
from synth.chat import Message, Sampling
from synth.chat.connect import ChatSpec
from synth.check import models_of
from synth.config import EndpointConfig, ModelConfig, SynthConfig
from synth.errors import BadInput, GuideweaveError
from synth.models import SCRIPTED, identify
from synth.recipes import find_recipe

T = TypeVar("T")

IMPORT_S, MODEL_S, TOKENIZER_S, ENDPOINT_S, STORAGE_S = 60, 300, 120, 30, 30

_LOAD_TOKENIZER = (
    "import sys; from transformers import AutoTokenizer; "
    "AutoTokenizer.from_pretrained(sys.argv[1], revision=sys.argv[2] or None)"
)


def check_deep(config: SynthConfig) -> Iterator[str]:
    """Check all that a run would trip over later, and yield what has been found well.

    Raises:
        BadInput: Something can not work, or did not answer within its deadline.
    """
    within(STORAGE_S, "run", config.run, lambda: _probe_storage(config.run))
    yield f"{config.run} can be written, read and removed from"
    for name in config.recipe:
        within(IMPORT_S, "recipe", name, lambda name=name: _import(name))
    yield f"recipes {', '.join(config.recipe)} can be imported"
    for role, model in models_of(config).items():
        yield _probe_model(role, model)


def within(deadline_s: float, field: str, value: str, call: Callable[[], T]) -> T:
    """Return what `call` returns or raises, or give up on it after `deadline_s`.

    Raises:
        BadInput: It did neither; `field` and `value` say what was waited for.
    """
    ended: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            ended.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            ended.put((None, error))

    # A daemon: what hangs (a network disk, an import) must not keep the process from ending.
    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = ended.get(timeout=deadline_s)
    except queue.Empty:
        rule = f"must answer within {deadline_s:g} s"
        raise BadInput(file="config", field=field, value=value, rule=rule) from None
    if error is not None:
        raise error
    return result  # pyrefly: ignore[bad-return]


def _probe_storage(run: str) -> None:
    folder = storage.local_folder(run)
    existed = folder.exists()
    path, told = storage.join(run, f"probe-{secrets.token_hex(4)}"), b"guideweave"
    try:
        storage.publish(path, told)
        same = storage.read(path) == told
        storage.remove(path)
    except OSError as error:
        rule = f"must be writable: {error.strerror}"
        raise BadInput(file="config", field="run", value=run, rule=rule) from error
    if not existed:
        folder.rmdir()
    if not same:
        rule = "must give back what was written"
        raise BadInput(file="config", field="run", value=run, rule=rule)


def _import(name: str) -> None:
    try:
        find_recipe(name)
    except BadInput:
        raise
    except Exception as error:  # whatever a user's module raises
        rule = f"must be importable: {type(error).__name__}: {error}"
        raise BadInput(file="config", field="recipe", value=name, rule=rule) from error


def _probe_model(role: str, model: ModelConfig) -> str:
    if model.endpoint is not None:
        within(ENDPOINT_S + 5, f"{role}.endpoint", model.endpoint.base_url, _caller(role, model))
        return f"{role}: {model.endpoint.model} answers"
    if SCRIPTED in (model.model, model.backend):
        return f"{role}: scripted"
    name = str(model.model)
    identity = within(MODEL_S, f"{role}.model", name, lambda: identify(model))
    _load_tokenizer(role, identity.path, identity.revision or "")
    return f"{role}: {identity.model_id}, its tokenizer loads"


def _load_tokenizer(role: str, path: str, revision: str) -> None:
    """Load the tokenizer in a process of its own: it imports what no driver needs."""
    command = [sys.executable, "-c", _LOAD_TOKENIZER, path, revision]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOKENIZER_S)
    except subprocess.TimeoutExpired as error:
        rule = f"its tokenizer must load within {TOKENIZER_S} s"
        raise BadInput(file="config", field=f"{role}.model", value=path, rule=rule) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        rule = f"its tokenizer must load: {last}"
        raise BadInput(file="config", field=f"{role}.model", value=path, rule=rule)


def _caller(role: str, model: ModelConfig) -> Callable[[], None]:
    def call() -> None:
        assert model.endpoint is not None, "called for endpoints"
        asyncio.run(_ask_endpoint(role, model.endpoint))

    return call


async def _ask_endpoint(role: str, endpoint: EndpointConfig) -> None:
    """Ask for one token: only an answer shows that address, key and model are right."""
    from synth.chat.endpoint import EndpointChat  # noqa: PLC0415 - aiohttp, for endpoints only

    spec = ChatSpec(
        kind="endpoint",
        model_id=endpoint.model,
        endpoint=endpoint,
        can=endpoint.can,
        call_timeout_s=ENDPOINT_S,
    )
    chat = EndpointChat(spec)
    try:
        await chat([Message(role="user", content="Hello.")], Sampling(max_tokens=1))
    except GuideweaveError as error:
        rule = f"must answer: {error}"
        value = endpoint.base_url
        raise BadInput(file="config", field=f"{role}.endpoint", value=value, rule=rule) from error
    finally:
        await chat.aclose()
