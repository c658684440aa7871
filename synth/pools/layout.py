"""Which pools a set of roles needs, decided once and before anything starts: plain data, no Ray.

A pool is what takes calls: engines of one model behind one Serve application, an endpoint, or a
script. Roles whose models are the same share one, and with it its limit of calls, its replicas,
and what is known of its health.

Without a GPU at most one engine that writes may be open at a time, as vLLM on CPU pins all cores,
and beside it one that scores, whose work is reading alone. On GPUs the shares that may meet on one
card must leave it room.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.chat import ChatKind, ChatSpec
from synth.chat.scripted import script_of
from synth.config.schema import Limits, ModelConfig, Replicas
from synth.errors import BadInput
from synth.models.identity import SCRIPTED, identify
from synth.records import ABILITIES, Ability, digest

CALLS_PER_SLOT = 1.25  # calls in flight a sequence slot: a short queue hides the way back
SERVER_CALLS = 64  # calls in flight at a server, or a script, where nothing says how many
MAX_SHARED_MEMORY = 0.95  # of one GPU, summed over the engines that may meet on it
_DEFAULT_MEMORY = 0.9  # vLLM's own `gpu_memory_utilization`
_CPU_SEQS, _GPU_SEQS = 128, 256
_FIT = 1e-9  # fractions of a GPU are floats
# What two roles must agree on to share an engine. Their replicas are joined: see `_replicas`.
_ENGINE = {"model", "revision", "backend", "family", "head", "engine_args", "resources"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlan:
    """What the replicas of a pool host.

    Attributes:
        app: Name of their Serve application.
        model: Their model, with the replicas of the pool.
        max_num_seqs: Sequences that one replica runs at once.
    """

    app: str
    model: ModelConfig
    max_num_seqs: int

    @property
    def on_cpu(self) -> bool:
        """Whether this is an engine without a GPU."""
        return self.model.backend == "vllm" and self.model.resources.num_gpus == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """One pool, and how its roles call it.

    Attributes:
        chats: How each of its roles opens its chat.
        max_calls: Calls in flight at most, over all its roles and all workers.
        engine: What its replicas host; None for an endpoint and a script, which have none.
    """

    chats: Mapping[str, ChatSpec]
    max_calls: int = SERVER_CALLS
    engine: EnginePlan | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that share it."""
        return tuple(self.chats)

    def calls_of(self, worker: int, num_workers: int) -> int:
        """Return how many calls one of the workers may have in flight: their sum is `max_calls`."""
        each, rest = divmod(self.max_calls, num_workers)
        return each + (worker < rest)


def app_prefix(run_digest: str) -> str:
    """Return how the applications of a run begin."""
    return f"gw-{run_digest}-"


def run_and_role(app: str) -> tuple[str, str]:
    """Return the digest of the run that an application is of, and the first role it serves."""
    _, run, role = app.split("-", 2)
    return run, role


def plan_pools(
    models: Mapping[str, ModelConfig], run_digest: str, limits: Limits
) -> list[PoolPlan]:
    """Return the pools that `models` (role to model) need; `check_fit` says if they fit together.

    Raises:
        BadInput: A model is not there.
    """
    groups: dict[str, dict[str, ModelConfig]] = {}
    for role, model in models.items():
        groups.setdefault(_key(model), {})[role] = model
    return [_plan(sharing, run_digest, limits) for sharing in groups.values()]


def chats_of(pools: Iterable[PoolPlan]) -> dict[str, ChatSpec]:
    """Return how each role's chat is opened."""
    return {role: spec for pool in pools for role, spec in pool.chats.items()}


def abilities(model: ModelConfig) -> frozenset[Ability]:
    """Return what a model can do beyond plain completion; one that scores does not even that."""
    if model.endpoint is not None:
        return model.endpoint.can
    return ABILITIES if model.head == "text" else frozenset()


def check_fit(pools: Iterable[PoolPlan]) -> None:
    """Check that the pools can be open together.

    Raises:
        BadInput: The hardware does not hold them at once.
    """
    engines = {pool.roles: pool.engine for pool in pools if pool.engine is not None}
    _check_cpu({roles: engine for roles, engine in engines.items() if engine.on_cpu})
    _check_gpus(engines)


def _kind(model: ModelConfig) -> ChatKind:
    if model.endpoint is not None:
        return "endpoint"
    in_process = model.model == SCRIPTED and model.backend != SCRIPTED
    return "scripted" if in_process else "engine"


def _key(model: ModelConfig) -> str:
    """Return what two roles must agree on to share a pool."""
    kind = _kind(model)
    if model.endpoint is not None:
        server = model.endpoint
        return digest(kind, server.base_url.rstrip("/"), server.model, server.api_key_env)
    alike = {"head", "engine_args"} if kind == "scripted" else _ENGINE
    return digest(kind, model.model_dump(mode="json", include=alike))


def _plan(models: Mapping[str, ModelConfig], run_digest: str, limits: Limits) -> PoolPlan:
    """Return the pool of `models`, which share it."""
    first_role, first = next(iter(models.items()))
    model_id = identify(first).model_id
    engine = None
    if _kind(first) == "engine":
        engine = _engine(f"{app_prefix(run_digest)}{first_role}", models)
    app = engine.app if engine else ""
    return PoolPlan(
        chats={role: _chat(model, model_id, app, limits) for role, model in models.items()},
        max_calls=_engine_calls(engine) if engine else _server_calls(models),
        engine=engine,
    )


def _chat(model: ModelConfig, model_id: str, app: str, limits: Limits) -> ChatSpec:
    kind = _kind(model)
    return ChatSpec(
        kind=kind,
        model_id=model_id,
        app=app,
        endpoint=model.endpoint,
        family=model.family,
        script=script_of(model) if kind == "scripted" else "",
        can=abilities(model),
        call_timeout_s=limits.call_timeout_s,
    )


def _engine(app: str, models: Mapping[str, ModelConfig]) -> EnginePlan:
    first = next(iter(models.values()))
    default_seqs = _GPU_SEQS if first.resources.num_gpus else _CPU_SEQS
    return EnginePlan(
        app=app,
        model=first.model_copy(update={"replicas": _replicas(models)}),
        max_num_seqs=int(first.engine_args.get("max_num_seqs", default_seqs)),
    )


def _replicas(models: Mapping[str, ModelConfig]) -> Replicas:
    """Return a pool's replicas: as many, as soon and for as long as any of its roles asks for.

    Most often only one of them says anything, and the others have the defaults.
    """
    asked = [model.replicas for model in models.values()]
    joined = Replicas(
        min=max(one.min for one in asked),
        max=max(one.max for one in asked),
        upscale_delay_s=min(one.upscale_delay_s for one in asked),
        downscale_delay_s=max(one.downscale_delay_s for one in asked),
    )
    if any(one != joined for one in asked):
        found = f"{joined.min} to {joined.max}, the most that any of them asks for"
        log.info("%s share a pool: its replicas are %s", " and ".join(models), found)
    return joined


def _engine_calls(engine: EnginePlan) -> int:
    slots = engine.model.replicas.max * engine.max_num_seqs
    return max(1, int(slots * CALLS_PER_SLOT))


def _server_calls(models: Mapping[str, ModelConfig]) -> int:
    """Return the smallest bound that a role sets: only that one keeps to all of them."""
    servers = [model.endpoint for model in models.values() if model.endpoint is not None]
    bounds = {s.max_concurrency for s in servers if s.max_concurrency is not None}
    if len(bounds) > 1:
        found = f"{min(bounds)}, the smallest max_concurrency"
        log.info("%s call one server: calls in flight are at most %s", " and ".join(models), found)
    return min(bounds, default=SERVER_CALLS)


def _check_cpu(engines: Mapping[tuple[str, ...], EnginePlan]) -> None:
    for head, does in (("text", "writes"), ("score", "scores")):
        alike = {roles: each for roles, each in engines.items() if each.model.head == head}
        names = " and ".join(" = ".join(roles) for roles in alike)
        if len(alike) > 1:
            only = f"without a GPU only one engine that {does} lives at a time"
            rule = f"{only}: give them one model, or GPUs"
            raise BadInput(file="config", field="roles", value=names, rule=rule)
        for engine in alike.values():
            if (most := engine.model.replicas.max) > 1:
                rule = f"without a GPU an engine takes all cores: one replica for {names}"
                raise BadInput(file="config", field="replicas.max", value=most, rule=rule)


def _check_gpus(engines: Mapping[tuple[str, ...], EnginePlan]) -> None:
    shares = {
        roles: engine.model
        for roles, engine in engines.items()
        if 0 < engine.model.resources.num_gpus < 1
    }
    used = _worst_memory(list(shares.values()), room=1.0)
    if used > MAX_SHARED_MEMORY + _FIT:
        names = ", ".join(role for roles in shares for role in roles)
        raise BadInput(
            file="config",
            field="engine_args.gpu_memory_utilization",
            value=round(used, 3),
            rule=f"engines of {names} may meet on one GPU: at most {MAX_SHARED_MEMORY} together",
        )


def _worst_memory(shares: Sequence[ModelConfig], room: float) -> float:
    """Return the most memory, as a share of one GPU, that replicas fitting into `room` use."""
    if not shares:
        return 0.0
    first, *rest = shares
    share = first.resources.num_gpus
    memory = _memory(first.engine_args)
    most = min(first.replicas.max, int((room + _FIT) / share))
    return max(n * memory + _worst_memory(rest, room - n * share) for n in range(most + 1))


def _memory(engine_args: Mapping[str, Any]) -> float:
    return float(engine_args.get("gpu_memory_utilization", _DEFAULT_MEMORY))
