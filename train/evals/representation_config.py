"""The configuration of the representation analysis."""

from typing import Annotated, Literal

from pydantic import Field

from synth.config.schema import Positive, Strict


class RepresentationConfig(Strict):
    """Where in a model harmful, helpful and attacked prompts lie.

    Attributes:
        prompts: How many in all; see `train.evals.representation.probes`.
        layers: `all`, or the numbers of some, from 1.
        max_length: Tokens of a prompt; longer ones are left out, for all models, and counted.
        dtype: Number format that the model is read in. bfloat16 halves the memory, but the
            error of its states is a twentieth to a seventh of the spread between prompts
            (measured on the embedded model, where it is no faster either).
        batch_size: Prompts that go through the model at once; changes no result.
        folds: Of every cross-validation.
        shuffles: How often labels are shuffled for the control.
    """

    prompts: Annotated[int, Field(ge=20)] = 300
    layers: Literal["all"] | tuple[Positive, ...] = "all"
    max_length: Positive = 2048
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_size: Positive = 16
    folds: Annotated[int, Field(ge=2)] = 5
    shuffles: Annotated[int, Field(ge=5)] = 20
