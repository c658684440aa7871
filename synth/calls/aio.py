"""Awaiting calls: several of one item at once, and all of a run's until a person interrupts.

Pools are removed and leases closed after an interrupt. A second, impatient Ctrl-C would leave
replicas behind under `asyncio.run`; here it is answered and otherwise ignored, up to a third.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LAST = 3  # the interrupt that leaves at once

log = logging.getLogger(__name__)

T = TypeVar("T")


async def gather_calls(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Await all at once. The first fault is raised as it is, and the others are given up.

    A task group would wrap the fault, and whose it is could not be told from its class.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_until_interrupted(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` as `asyncio.run` does.

    Raises:
        KeyboardInterrupt: Ctrl-C, or a request to terminate; `main` was cancelled and has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(main)  # signals go to the main thread
    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    count = 0

    def interrupt(task: asyncio.Task[Any]) -> None:
        nonlocal count
        count += 1
        if count == 1:
            log.warning("stopping: open leases are closed and pools removed first")
            task.cancel()
        elif count < _LAST:
            log.warning("still stopping; once more leaves at once")
        else:
            raise KeyboardInterrupt

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, interrupt, task)
        return await main

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if not count:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before:
            signal.signal(number, handler)
