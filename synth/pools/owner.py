"""The actor whose life is the job's: when the driver dies it goes, and replicas notice.

Serve's replicas outlive the driver that started them. This actor does not (Ray ends a job's
own actors with the job), so a replica that finds it gone removes its application.
A leaf: imports Ray.
"""

import asyncio
import logging
import os
import secrets
from typing import Any

import ray
from ray import serve
from ray.exceptions import ActorDiedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

NAMESPACE = "guideweave"
_PERIOD_S = 5.0
_PING_TIMEOUT_S = 30.0
_LEAVE_S = 2.0
log = logging.getLogger(__name__)


class Owner:
    """Lives as long as the driver does, and says so."""

    def ping(self) -> bool:
        """Answer, which is all there is to it."""
        return True


def create_owner(run_digest: str) -> tuple[Any, str]:
    """Start this driver's owner; return it, to be kept, and the name replicas find it by.

    It runs on the driver's node: on another one it could be lost while the driver lives.
    """
    name = f"gw-{run_digest}-owner-{secrets.token_hex(4)}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote = ray.remote(Owner).options(
        name=name, namespace=NAMESPACE, num_cpus=0, scheduling_strategy=here
    )
    owner = remote.remote()
    ray.get(owner.ping.remote())  # pyrefly: ignore[missing-attribute]
    return owner, name


async def leave_without_owner(name: str, app: str) -> None:
    """Remove `app` and end this process once the actor `name` is gone. Runs in a replica."""
    while await _lives(name):  # noqa: ASYNC110 - another process can set no event of ours
        await asyncio.sleep(_PERIOD_S)
    log.warning("the driver of %s is gone: removing the pool", app)
    await asyncio.to_thread(serve.delete, app, _blocking=False)
    # Serve would first wait for the calls in flight, whose callers are gone too.
    await asyncio.sleep(_LEAVE_S)
    os._exit(0)


async def _lives(name: str) -> bool:
    """Say whether the owner answers; only its certain death counts as a no."""
    try:
        owner = await asyncio.to_thread(ray.get_actor, name, namespace=NAMESPACE)
        await asyncio.wait_for(owner.ping.remote(), _PING_TIMEOUT_S)
    except (ValueError, ActorDiedError):  # ValueError: no actor has this name any more
        return False
    except (ray.exceptions.RayError, TimeoutError) as error:
        log.warning("the owner %s did not answer: %r", name, error)
    return True
