"""Open the pools of a stage, wait until they answer, and see them gone afterwards.

Serve is one per cluster: nothing here touches an application that is not of the same run, and
Serve itself is never shut down. What engines log goes to one file of the run, never to the
terminal. A leaf: imports Ray Serve.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import ActorAlreadyExistsError
from ray.serve import RunTarget
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ApplicationStatus, LoggingConfig

from synth import storage
from synth.cluster.joining import CALL_PATH
from synth.cluster.room import replicas_demand, unless_hopeless
from synth.config.schema import Limits
from synth.errors import RunFault
from synth.pools.layout import EnginePlan, PoolPlan, app_prefix
from synth.pools.owner import create_owner
from synth.pools.replica import Replica

DEPLOYMENT = "engine"
_POLL_S = 0.25
_SAY_S = 30.0  # how often waiting says what it waits for
_TARGET_SHARE = 0.8  # of a replica's sequence slots, before another replica is started
_STARTS = 3  # times a replica may fail to start
_LEAVE_S = 12.0  # for replicas to end in good order, before they are killed
_GONE_S = 30.0  # beyond that, for replicas that were killed
log = logging.getLogger(__name__)


@asynccontextmanager
async def open_engines(
    pools: Sequence[PoolPlan],
    run_digest: str,
    limits: Limits,
    seed: int = 0,
    logs: Path | None = None,
    own: Callable[[], bool] = lambda: True,
) -> AsyncIterator[None]:
    """Open those of `pools` that have engines, on the running cluster, and close them at the end.

    Closing waits until the replicas are gone.

    Args:
        pools: What a stage needs.
        run_digest: Names the run's applications.
        limits: Deadlines.
        seed: Of the engines.
        logs: Folder that keeps what the engines log; it must be one that replicas see.
        own: Says at the end whether the run is still ours; another command's pools have the
            same names, and are left alone.

    Raises:
        BadInput: The cluster can never hold them.
        RunFault: A pool did not start.
    """
    engines = {pool.roles: pool.engine for pool in pools if pool.engine is not None}
    await asyncio.to_thread(_start_serve)
    await remove_pools(run_digest)
    owner, owner_name = await asyncio.to_thread(create_owner, run_digest)
    try:
        environment = _logging_environment(logs) if logs else {}
        targets = [_target(e, limits, seed, owner_name, environment) for e in engines.values()]
        await asyncio.to_thread(
            serve.run_many,
            targets,
            wait_for_ingress_deployment_creation=False,
            wait_for_applications_running=False,
        )
        apps = [engine.app for engine in engines.values()]
        demands = [replicas_demand(roles, engine.model) for roles, engine in engines.items()]
        await unless_hopeless(_wait_until_running(apps, limits.start_timeout_s), demands)
        yield
    finally:
        if await asyncio.to_thread(own):
            await remove_pools(run_digest, own)
        ray.kill(owner)


async def remove_pools(run_digest: str, own: Callable[[], bool] = lambda: True) -> list[str]:
    """Remove every pool of the run and wait until its replicas are gone; return their names.

    Nobody waits for calls that are still in flight: replicas that they hold back are killed,
    unless the run is no longer ours by then, as `own` says.

    Raises:
        RunFault: Replicas are still there.
    """
    prefix = app_prefix(run_digest)
    status = await asyncio.to_thread(serve.status)
    apps = [name for name in status.applications if name.startswith(prefix)]
    for app in apps:
        await asyncio.to_thread(serve.delete, app, _blocking=False)
    if await _gone(prefix, _LEAVE_S) or not await asyncio.to_thread(own):
        return apps
    for name in _replica_names(prefix):
        log.warning("%s did not leave within %g s: killing it", name, _LEAVE_S)
        _kill(name)
    if not await _gone(prefix, _GONE_S):
        raise RunFault(f"replicas do not leave: {', '.join(_replica_names(prefix))}")
    return apps


def _logging_environment(folder: Path) -> dict[str, str]:
    """Return the environment under which engines append their log to `folder`/engine.log.

    vLLM takes a configuration of Python's logging from a file; its own processes inherit the
    environment, so that the engine's core writes there as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "engine-logging.json"
    config.write_text(json.dumps(_logging_config(folder.absolute() / "engine.log"), indent=1))
    return {"VLLM_LOGGING_CONFIG_PATH": str(config.absolute()), "VLLM_LOGGING_LEVEL": "INFO"}


def _logging_config(log: Path) -> dict[str, object]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(log), "formatter": "line"}
        },
        "loggers": {"vllm": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }


def _start_serve() -> None:
    """Start Serve, or find it: of two runs that begin at once on a new cluster, one is first."""
    start = partial(serve.start, proxy_location="Disabled", logging_config=_quiet())
    try:
        start()
    except ActorAlreadyExistsError:
        start()


def _target(
    engine: EnginePlan, limits: Limits, seed: int, owner: str, environment: Mapping[str, str]
) -> RunTarget:
    resources = engine.model.resources
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "ray_actor_options": {
            "num_cpus": resources.num_cpus,
            "num_gpus": resources.num_gpus,
            "label_selector": resources.labels or None,
            "runtime_env": {"env_vars": {**CALL_PATH, **environment}},
        },
        "max_ongoing_requests": 2 * engine.max_num_seqs,
        "graceful_shutdown_timeout_s": limits.call_timeout_s,
        "graceful_shutdown_wait_loop_s": 0.2,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
        "max_constructor_retry_count": _STARTS,
        "logging_config": _quiet(),
        **_scaling(engine),
    }
    deployment: Any = serve.deployment(Replica)
    app = deployment.options(**options).bind(
        engine, seed, limits.stall_s, owner, storage.settings()
    )
    return RunTarget(target=app, name=engine.app, route_prefix=None, logging_config=_quiet())


def _scaling(engine: EnginePlan) -> dict[str, Any]:
    replicas = engine.model.replicas
    if replicas.min == replicas.max:
        return {"num_replicas": replicas.max}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=replicas.min,
            initial_replicas=max(1, replicas.min),
            max_replicas=replicas.max,
            target_ongoing_requests=_TARGET_SHARE * engine.max_num_seqs,
            upscale_delay_s=replicas.upscale_delay_s,
            downscale_delay_s=replicas.downscale_delay_s,
        )
    }


def _quiet() -> LoggingConfig:
    """One line a call would be a line a completion."""
    return LoggingConfig(log_level="WARNING", enable_access_log=False)


async def _wait_until_running(apps: Sequence[str], timeout_s: float) -> None:
    started = said_at = time.monotonic()
    while True:
        status = (await asyncio.to_thread(serve.status)).applications
        if removed := [app for app in apps if app not in status]:
            raise RunFault(f"{', '.join(removed)} was removed while it started")
        waiting = [app for app in apps if status[app].status != ApplicationStatus.RUNNING]
        if not waiting:
            return
        for app in waiting:
            if status[app].status == ApplicationStatus.DEPLOY_FAILED:
                raise RunFault(f"the pool {app} failed to start: {_reason(status[app])}")
        now = time.monotonic()
        if now - started > timeout_s:
            raise RunFault(
                f"no replica of {', '.join(waiting)} within {timeout_s:g} s "
                f"(start_timeout_s): {_reason(status[waiting[0]])}"
            )
        if now - said_at > _SAY_S:
            said_at = now
            log.info("waiting for %s, %.0f s so far", ", ".join(waiting), now - started)
        await asyncio.sleep(_POLL_S)


def _reason(app: Any) -> str:
    messages: list[str] = [app.message, *(d.message for d in app.deployments.values())]
    return max(messages, key=len).strip() or "no reason was given"


async def _gone(prefix: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while await asyncio.to_thread(_replica_names, prefix):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _replica_names(prefix: str) -> list[str]:
    """Return the replica actors of the run, which Serve names after application and deployment."""
    named = ray.util.list_named_actors(all_namespaces=True)
    marked = f"SERVE_REPLICA::{prefix}"
    return [actor["name"] for actor in named if actor["name"].startswith(marked)]


def _kill(name: str) -> None:
    try:
        ray.kill(ray.get_actor(name, namespace="serve"))
    except ValueError:  # it has gone by itself
        log.info("%s has left", name)
