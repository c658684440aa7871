"""Work spread over Ray tasks."""

from collections.abc import Iterator
from functools import partial
from operator import add

import pytest
import ray

from synth.cluster import MAX_TASKS, join_ray, ray_map

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    join_ray()
    join_ray()  # a second call finds the connection
    yield
    ray.shutdown()


def test_a_partial_is_mapped_in_order_beyond_the_bound() -> None:
    arguments = range(2 * MAX_TASKS + 3)
    assert list(ray_map(partial(add, 10), arguments)) == [10 + i for i in arguments]


def test_a_tasks_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ray_map(partial(divmod, 1), [1, 0]))
