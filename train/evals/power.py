"""Whether an evaluation is large enough for the difference it looks for."""

import math
from collections.abc import Sequence

from scipy import stats

from train.evals.intervals import LEVEL, POWER, Resampling, Term, detectable

WORTH_FINDING = 0.10  # a difference that an evaluation has to be large enough for


def enough(
    terms: Sequence[Term], resampling: Resampling, difference: float = WORTH_FINDING
) -> bool:
    """Say whether `terms` would show a true difference of that size with 80 % power."""
    return all(term.values for term in terms) and detectable(terms, resampling) <= difference


def required_prompts(discordant: float, difference: float = WORTH_FINDING) -> int:
    """Return how many prompts McNemar's test needs for 80 % power at the 5 % level.

    The formula is Connor's (Biometrics 1987); for one answer a prompt its variance,
    `discordant - difference^2`, is that of Miller (arXiv 2411.00640, section 5).

    Args:
        discordant: Share of prompts on which the two models differ.
        difference: The difference of their rates that is to be found.

    Raises:
        ValueError: The difference is not above 0, or above the share of differing prompts.
    """
    if not 0 < difference <= discordant <= 1:
        raise ValueError(f"no difference of {difference} with {discordant} of prompts differing")
    z_level, z_power = (float(stats.norm.ppf(p)) for p in ((1 + LEVEL) / 2, POWER))
    spread = z_level * math.sqrt(discordant) + z_power * math.sqrt(discordant - difference**2)
    return math.ceil((spread / difference) ** 2)
