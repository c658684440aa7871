"""The configuration of the measurement of faithfulness."""

from typing import Annotated

from pydantic import Field

from synth.config.schema import Positive, Strict


class FaithfulnessConfig(Strict):
    """How faithful reasoning is to the guidelines it was given.

    Attributes:
        measured: Traces whose citations are counted, at most.
        traces: Traces with a citation that are made again, three times each.
        bootstrap_resamples: Resamples behind each interval.
        seed: Of the choice of traces, and of the resampling.
    """

    measured: Positive = 2_000
    traces: Annotated[int, Field(ge=0)] = 24
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0
