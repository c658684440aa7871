"""Awaiting: several calls at once, work in a thread, and all of a run until a person interrupts.

Pools are removed and leases closed after an interrupt. A second, impatient Ctrl-C would leave
replicas behind under `asyncio.run`; here it is answered and otherwise ignored, up to a third.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
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


class GivenUp(Exception):
    """Nobody waits any more for what this thread works on."""


_given_up: ContextVar[threading.Event | None] = ContextVar("given_up", default=None)


def check_wanted() -> None:
    """Say in a long loop that it can end here.

    Raises:
        GivenUp: This is a thread of `in_thread`, and its caller waits no more.
    """
    given_up = _given_up.get()
    if given_up is not None and given_up.is_set():
        raise GivenUp


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own, so that the loop goes on meanwhile.

    Where the caller is cancelled it leaves at once. The thread ends at its next `check_wanted`,
    and the process does not wait for it: what it does must be whole at any moment.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    given_up = threading.Event()

    def settle(result: T | None, fault: BaseException | None) -> None:
        if ended.done():
            return
        if fault is not None:
            ended.set_exception(fault)
        else:
            ended.set_result(result)  # pyrefly: ignore[bad-argument-type]

    def run() -> None:
        _given_up.set(given_up)
        result, fault = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            fault = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, daemon=True).start()
    try:
        return await ended
    finally:
        given_up.set()


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
