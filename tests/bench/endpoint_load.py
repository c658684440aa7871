"""What both sides of the endpoint bench ask, and how long the server takes over it."""

from dataclasses import dataclass
from random import Random

from synth.records import Item, Seed, digest
from tests.bench.recipes import ONE_CALL

MODEL = "mock"
MAX_TOKENS = 128
SIGMA = 1.0  # of the latency's logarithm
_MU = -(SIGMA**2) / 2  # so that the mean is one
_SENTENCE = "Explain in a few plain sentences what question number {} is about, and why it matters."


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One measurement.

    Attributes:
        url: The server, up to `/v1`.
        rows: Requests, each with a prompt of its own.
        calls: Requests that may be open at once.
        workers: Recipe workers; 0 is the driver's own process.
    """

    url: str
    rows: int
    calls: int
    workers: int = 0


def prompt(number: int) -> str:
    """Return the prompt of a row."""
    return _SENTENCE.format(number)


def latency_s(text: str, mean_s: float) -> float:
    """Return what the server takes over a prompt: log-normal, the same for the same text."""
    return mean_s * Random(text).lognormvariate(_MU, SIGMA)


def make_items(rows: int) -> list[Item]:
    """Return one item a prompt."""
    return [Item(seed=_seed(prompt(number)), recipe=ONE_CALL.name) for number in range(rows)]


def _seed(text: str) -> Seed:
    return Seed(
        seed_id=digest([], text), prompt=text, label="benign", category="bench", source="bench"
    )
