"""Which pools a set of roles needs, decided before anything starts: plain data, no Ray.

Roles of one model and the same engine arguments share a pool. Without a GPU at most one engine
that writes may be open at a time, as vLLM on CPU pins all cores, and beside it one that scores,
whose work is reading alone. On GPUs the shares that may meet on one card must leave it room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.chat import ChatSpec
from synth.chat.scripted import script_of
from synth.config.schema import Limits, ModelConfig
from synth.errors import BadInput
from synth.models.identity import SCRIPTED, identify
from synth.records import ABILITIES, Ability, digest

MAX_SHARED_MEMORY = 0.95  # of one GPU, summed over the engines that may meet on it
CALLS_PER_SLOT = 1.25  # calls in flight a sequence slot: a short queue hides the way back
_DEFAULT_MEMORY = 0.9  # vLLM's own `gpu_memory_utilization`
_CPU_SEQS, _GPU_SEQS = 128, 256
_FIT = 1e-9  # fractions of a GPU are floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """One pool.

    Attributes:
        app: Name of its Serve application.
        roles: The roles that share it.
        model: Their model.
        model_id: The name that records carry.
        max_num_seqs: Sequences one replica runs at once.
    """

    app: str
    roles: tuple[str, ...]
    model: ModelConfig
    model_id: str
    max_num_seqs: int

    @property
    def on_cpu(self) -> bool:
        """Whether this is an engine without a GPU."""
        return self.model.backend == "vllm" and self.model.resources.num_gpus == 0


def app_prefix(run_digest: str) -> str:
    """Return how the applications of a run begin."""
    return f"gw-{run_digest}-"


def run_and_role(app: str) -> tuple[str, str]:
    """Return the digest of the run that an application is of, and the first role it serves."""
    _, run, role = app.split("-", 2)
    return run, role


def plan_pools(models: Mapping[str, ModelConfig], run_digest: str) -> list[PoolPlan]:
    """Return the pools that `models` (role to model) need; endpoints and scripts need none.

    Raises:
        BadInput: The roles can not be served together on this hardware.
    """
    groups: dict[str, list[str]] = {}
    for role, model in models.items():
        if _needs_pool(model):
            groups.setdefault(_key(model), []).append(role)
    plans = [_plan(tuple(roles), models[roles[0]], run_digest) for roles in groups.values()]
    _check_cpu(plans)
    _check_gpus(plans)
    return plans


def chat_specs(
    models: Mapping[str, ModelConfig], plans: Sequence[PoolPlan], limits: Limits
) -> dict[str, ChatSpec]:
    """Return how each role's chat is opened, once its pool is there."""
    pooled = {role: _pooled(plan, limits) for plan in plans for role in plan.roles}
    return {
        role: pooled[role] if role in pooled else _unpooled(model, limits)
        for role, model in models.items()
    }


def _needs_pool(model: ModelConfig) -> bool:
    if model.endpoint is not None:
        return False
    return model.backend == SCRIPTED or model.model != SCRIPTED


def abilities(model: ModelConfig) -> frozenset[Ability]:
    """Return what a model can do beyond plain completion; one that scores does not even that."""
    if model.endpoint is not None:
        return model.endpoint.can
    return ABILITIES if model.head == "text" else frozenset()


def _key(model: ModelConfig) -> str:
    """What two roles must agree on to share an engine; replicas are the first role's."""
    return digest(
        model.model,
        model.revision,
        model.backend,
        model.model_dump(mode="json", include={"family", "head", "engine_args", "resources"}),
    )


def _plan(roles: tuple[str, ...], model: ModelConfig, run_digest: str) -> PoolPlan:
    default_seqs = _GPU_SEQS if model.resources.num_gpus else _CPU_SEQS
    return PoolPlan(
        app=f"{app_prefix(run_digest)}{roles[0]}",
        roles=roles,
        model=model,
        model_id=identify(model).model_id,
        max_num_seqs=int(model.engine_args.get("max_num_seqs", default_seqs)),
    )


def _pooled(plan: PoolPlan, limits: Limits) -> ChatSpec:
    slots = plan.model.replicas.max * plan.max_num_seqs
    return ChatSpec(
        kind="engine",
        model_id=plan.model_id,
        app=plan.app,
        can=abilities(plan.model),
        max_calls=max(1, int(slots * CALLS_PER_SLOT)),
        call_timeout_s=limits.call_timeout_s,
    )


def _unpooled(model: ModelConfig, limits: Limits) -> ChatSpec:
    model_id = identify(model).model_id
    if model.endpoint is not None:
        return ChatSpec(
            kind="endpoint",
            model_id=model_id,
            endpoint=model.endpoint,
            can=abilities(model),
            max_calls=model.endpoint.max_concurrency,
            call_timeout_s=limits.call_timeout_s,
        )
    return ChatSpec(
        kind="scripted",
        model_id=model_id,
        script=script_of(model),
        can=abilities(model),
        call_timeout_s=limits.call_timeout_s,
    )


def _check_cpu(plans: Sequence[PoolPlan]) -> None:
    for head, does in (("text", "writes"), ("score", "scores")):
        on_cpu = [plan for plan in plans if plan.on_cpu and plan.model.head == head]
        if len(on_cpu) > 1:
            roles = " and ".join(" = ".join(plan.roles) for plan in on_cpu)
            only = f"without a GPU only one engine that {does} lives at a time"
            rule = f"{only}: give them one model, or GPUs"
            raise BadInput(file="config", field="roles", value=roles, rule=rule)
        if on_cpu and on_cpu[0].model.replicas.max > 1:
            raise BadInput(
                file="config",
                field=f"{on_cpu[0].roles[0]}.replicas.max",
                value=on_cpu[0].model.replicas.max,
                rule="without a GPU an engine takes all cores: one replica",
            )


def _check_gpus(plans: Sequence[PoolPlan]) -> None:
    shares = [plan for plan in plans if 0 < plan.model.resources.num_gpus < 1]
    used = _worst_memory(shares, room=1.0)
    if used > MAX_SHARED_MEMORY + _FIT:
        roles = ", ".join(role for plan in shares for role in plan.roles)
        raise BadInput(
            file="config",
            field="engine_args.gpu_memory_utilization",
            value=round(used, 3),
            rule=f"engines of {roles} may meet on one GPU: at most {MAX_SHARED_MEMORY} together",
        )


def _worst_memory(shares: Sequence[PoolPlan], room: float) -> float:
    """Return the most memory, as a share of one GPU, that replicas fitting into `room` use."""
    if not shares:
        return 0.0
    first, *rest = shares
    share = first.model.resources.num_gpus
    memory = _memory(first.model.engine_args)
    most = min(first.model.replicas.max, int((room + _FIT) / share))
    return max(n * memory + _worst_memory(rest, room - n * share) for n in range(most + 1))


def _memory(engine_args: Mapping[str, Any]) -> float:
    return float(engine_args.get("gpu_memory_utilization", _DEFAULT_MEMORY))
