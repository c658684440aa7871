"""Joining or starting Ray, once, in one place. This leaf imports Ray."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import ray

from synth import storage
from synth.cluster.job import in_ray_job
from synth.config.schema import StorageConfig

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# Logical CPUs of a local cluster: with the machine's two, actors and tasks that each take a
# share starve each other without a word. Engines are limited by pools, not by this number.
LOCAL_CPUS = 16
MAX_TASKS = 32
# Of actors that call or host a pool: by default Serve takes each call through two more threads, for
# the sake of code that blocks its loop. Ours does not, and thousands of small calls feel it.
CALL_PATH = {
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
}


def join_ray() -> None:
    """Connect this process to Ray, once: the job's cluster inside a Ray job, else one of our own.

    The connection stays until the process ends: the stages of a run share it, and a cluster
    of our own ends with the process that started it.
    """
    if ray.is_initialized():
        return
    with _keeping_sigterm():
        if in_ray_job():
            ray.init(address="auto", log_to_driver=False)
        else:
            _start_local()


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Give a request to terminate back to whom it went before.

    Ray takes it when a driver joins, and would leave in the middle of a lease.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's, and Ray leaves them alone
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start_local() -> None:
    # Serve's controller looks ten times a second, which two cores feel.
    os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.5")
    paths = [str(Path.cwd()), *filter(None, sys.path)]
    ray.init(
        address="local",
        num_cpus=max(LOCAL_CPUS, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}},
    )


def ray_map(function: Callable[[T], R], arguments: Iterable[T]) -> Iterator[R]:
    """Map `function` over `arguments` in Ray tasks, a bounded number at once, in order."""
    # On a cluster of our own a task takes what a real core counts for, not a logical one.
    num_cpus = 1 if in_ray_job() else max(1, LOCAL_CPUS // (os.cpu_count() or 1))
    remote: Any = ray.remote(_apply).options(num_cpus=num_cpus)
    section = storage.settings()
    pending: list[ray.ObjectRef] = []
    for argument in arguments:
        pending.append(remote.remote(section, function, argument))
        if len(pending) >= MAX_TASKS:
            yield ray.get(pending.pop(0))
    while pending:
        yield ray.get(pending.pop(0))


def _apply(section: StorageConfig, function: Callable[[T], R], argument: T) -> R:
    """Call `function` in a task; Ray makes tasks of plain functions only, not of partials."""
    storage.use(section)
    return function(argument)
