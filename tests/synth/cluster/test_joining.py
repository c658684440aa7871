"""Work spread over Ray tasks."""

import signal
from collections.abc import Iterator
from functools import partial
from operator import add

import pytest
import ray

from synth import storage
from synth.cluster.joining import MAX_TASKS, join_ray, ray_map
from synth.config.schema import StorageConfig

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    join_ray()
    join_ray()  # a second call finds the connection
    # Ray's own handler would leave in the middle of a lease.
    assert signal.getsignal(signal.SIGTERM) is before
    yield
    ray.shutdown()


def test_a_partial_is_mapped_in_order_beyond_the_bound() -> None:
    arguments = range(2 * MAX_TASKS + 3)
    assert list(ray_map(partial(add, 10), arguments)) == [10 + i for i in arguments]


def test_a_tasks_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ray_map(partial(divmod, 1), [1, 0]))


def test_a_task_reaches_storage_as_its_driver_does() -> None:
    storage.use(StorageConfig(region="here"))
    try:
        assert list(ray_map(region, [0])) == ["here"]
    finally:
        storage.use(StorageConfig())


def region(_: int) -> str | None:
    return storage.settings().region
