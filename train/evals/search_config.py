"""The configuration of test-time search: whose answers are searched for, and how."""

from typing import Annotated, Any, Literal

from pydantic import Field

from synth.config.schema import Name, Strict
from synth.recipes.beam import BeamOptions
from synth.recipes.best_of_n import BestOfNOptions


class _Searched(Strict):
    reward: Name
    models: tuple[Name, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The options of the search's recipe."""
        return self.model_dump(mode="json", exclude={"kind", "reward", "models"})


class BestOfNSearch(_Searched, BestOfNOptions):
    """The best of n answers, called `<model>-bon<n>` in the results.

    Attributes:
        kind: `best_of_n`.
        reward: Name of the trained reward model that chooses, such as `stair-prm`.
        models: Of the models evaluated, those that are evaluated under the search as well; empty
            for all students.
        n: See `BestOfNOptions`.
        aggregate: See there.
    """

    kind: Literal["best_of_n"]

    @property
    def suffix(self) -> str:
        """What follows the model's name."""
        return f"bon{self.n}"


class BeamSearch(_Searched, BeamOptions):
    """A beam of steps, called `<model>-beam<width>x<expand>` in the results.

    Attributes:
        kind: `beam`.
        reward: Name of the trained reward model that leads it, such as `stair-prm`.
        models: Of the models evaluated, those that are evaluated under the search as well; empty
            for all students.
        width: See `BeamOptions`.
        expand: See there.
        depth: See there.
        aggregate: See there.
    """

    kind: Literal["beam"]

    @property
    def suffix(self) -> str:
        """What follows the model's name."""
        return f"beam{self.width}x{self.expand}"


Search = Annotated[BestOfNSearch | BeamSearch, Field(discriminator="kind")]
