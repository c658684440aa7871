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
from pathlib import Path
from typing import TypeVar

from synth import storage
from synth.checks.endpoints import check_endpoints
from synth.checks.static import models_of
from synth.config.schema import Limits, ModelConfig, SeedsConfig, SynthConfig
from synth.errors import BadInput, PoolDown
from synth.models.identity import SCRIPTED, identify
from synth.pools.layout import plan_pools
from synth.recipes import find_recipe
from synth.run import find_recipes, load_set
from synth.seeds.seeds import load_seeds

T = TypeVar("T")

IMPORT_S, MODEL_S, TOKENIZER_S, ENDPOINT_S, STORAGE_S = 60, 300, 120, 30, 30
PROBED_ROWS = 100

_LOAD_TOKENIZER = (
    "import sys; from transformers import AutoTokenizer; "
    "AutoTokenizer.from_pretrained(sys.argv[1], revision=sys.argv[2] or None)"
)


def check_deep(config: SynthConfig) -> Iterator[str]:
    """Check all that a run would trip over later, and yield what has been found well.

    Raises:
        BadInput: Something can not work, or did not answer within its deadline.
    """
    storage.use(config.storage)
    within(STORAGE_S, "run", config.run, lambda: _probe_storage(config.run))
    yield f"{config.run} can be written, read and removed from"
    for source in filter(storage.is_remote, config.guidelines):
        within(STORAGE_S, "guidelines", source, lambda source=source: load_set(source))
        yield f"{source} is a guideline set"
    if storage.is_remote(config.seeds.path):
        within(STORAGE_S, "seeds.path", config.seeds.path, lambda: _probe_seeds(config.seeds))
        yield f"{config.seeds.path} can be read"
    for name in config.recipe:
        within(IMPORT_S, "recipe", name, lambda name=name: _import(name))
    find_recipes(config)
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
    """Write, write again, read and remove, as a run would."""
    existed = storage.is_remote(run) or Path(run).exists()
    path, told = storage.join(run, f"probe-{secrets.token_hex(4)}"), b"guideweave"
    try:
        created, again = storage.publish(path, told), storage.publish(path, b"another")
        same = storage.read(path) == told
        storage.remove(path)
    except OSError as error:
        rule = f"must be writable: {error.strerror}"
        raise BadInput(file="config", field="run", value=run, rule=rule) from error
    if not existed:
        Path(run).rmdir()
    if again or not created or not same:
        rule = "must give back what was written, and refuse to write it twice (If-None-Match: *)"
        raise BadInput(file="config", field="run", value=run, rule=rule)


def _probe_seeds(config: SeedsConfig) -> None:
    """Read the first rows."""
    load_seeds(config, max_rows=PROBED_ROWS)


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
        _probe_endpoint(role, model, model.endpoint.base_url)
        able = ", ".join(sorted(model.endpoint.can)) or "nothing beyond plain chat"
        return f"{role}: {model.endpoint.model} answers and can do what is said: {able}"
    if SCRIPTED in (model.model, model.backend):
        return f"{role}: scripted"
    name = str(model.model)
    identity = within(MODEL_S, f"{role}.model", name, lambda: identify(model))
    if storage.is_remote(identity.path):
        return f"{role}: {identity.model_id}, its files can be read"
    _load_tokenizer(role, identity.path, identity.revision or "")
    return f"{role}: {identity.model_id}, its tokenizer loads"


def _probe_endpoint(role: str, model: ModelConfig, url: str) -> None:
    field = f"{role}.endpoint"
    pools = plan_pools({role: model}, "", Limits(call_timeout_s=ENDPOINT_S))
    try:
        within(2 * ENDPOINT_S, field, url, lambda: asyncio.run(check_endpoints(pools, ENDPOINT_S)))
    except PoolDown as fault:
        rule = f"must answer: {fault}"
        raise BadInput(file="config", field=field, value=url, rule=rule) from fault


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
