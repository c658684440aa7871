"""The chat of an engine pool: a call through Ray Serve's handle, errors sorted by whose they are.

A leaf: imports Ray.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from ray import serve
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from synth.chat import ChatSpec
from synth.errors import BadInput, EngineDied, GuideweaveError, PoolFault
from synth.records import Message, Reply, Sampling

_WAY_S = 30.0  # beyond the call's own deadline, which the replica keeps


class EngineChat:
    """A `Chat` over the replicas of one Serve application."""

    def __init__(self, spec: ChatSpec) -> None:
        self.can = spec.can
        self._app = spec.app
        self._timeout_s = spec.call_timeout_s
        self._handle: Any = None
        self._generate: Any = None  # its method: each look-up makes another handle
        self._opening = asyncio.Lock()

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages` on one of the replicas.

        Raises:
            EngineDied: The replica or its engine died while the call was in flight.
            PoolFault: No replica took the call, or none answered, in its time.
            RowFault: This request can not be answered.
        """
        try:
            # A call waits for ever while no replica exists.
            async with asyncio.timeout(self._timeout_s + _WAY_S):
                await self._connected()
                response = self._generate.remote(list(messages), sampling, self._timeout_s)
                return await _or_cancel(response)
        except TimeoutError as error:
            raise PoolFault(f"{self._app}: no answer within {self._timeout_s:g} s") from error
        except RayTaskError as error:
            raise self._to_fault(error) from error
        except ActorDiedError as error:
            raise EngineDied(f"{self._app}: the replica died") from error
        except (RayError, RayServeException) as error:
            raise PoolFault(f"{self._app}: {error!r}") from error

    async def _connected(self) -> Any:
        async with self._opening:
            if self._handle is None:
                self._handle = await asyncio.to_thread(serve.get_app_handle, self._app)
                self._generate = self._handle.generate
            return self._handle

    def _to_fault(self, error: RayTaskError) -> Exception:
        """Return the fault that the replica raised, as it raised it."""
        cause = error.cause
        if isinstance(cause, GuideweaveError | BadInput):
            return cause
        if isinstance(cause, ActorDiedError):
            return EngineDied(f"{self._app}: the replica died")
        return PoolFault(f"{self._app}: {cause!r}")


async def _or_cancel(response: Any) -> Reply:
    """Await the response; a caller that gives up gives the engine's slot back too."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
