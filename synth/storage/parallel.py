"""Many small reads at once where each is a way over the network."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from synth.storage.paths import is_remote

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16


def in_parallel(folder: str, function: Callable[[T], R], arguments: Iterable[T]) -> Iterator[R]:
    """Map `function`, which reads files of `folder`, in order; threads wait for remote ones.

    A bounded number is read ahead, so that many large files never meet in memory.
    """
    if not is_remote(folder):
        yield from map(function, arguments)
        return
    left = iter(arguments)
    with ThreadPoolExecutor(THREADS) as threads:
        ahead = [threads.submit(function, argument) for argument in islice(left, 2 * THREADS)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [threads.submit(function, argument) for argument in islice(left, 1)]
