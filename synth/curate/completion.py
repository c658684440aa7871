"""What a student is to write: a trace as one turn, in its recipe's format, as the policy has it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from synth.curate.policy import Policy
from synth.recipes.base import Recipe, Row
from synth.recipes.completion import completion_text
from synth.recipes.sections import join_sections
from synth.recipes.steps import write_steps


def completion_of(row: Row, recipe: Recipe, policy: Policy) -> str:
    """Return the supervised text of a trace.

    Args:
        row: `reasoning`, `answer`, and `payload` where `reads_payload` says so.
        recipe: The one that made it.
        policy: May choose the sections that its reasoning is made of.
    """
    payload = json.loads(row["payload"]) if reads_payload([recipe], policy) else {}
    if recipe.format == "steps":
        return write_steps(payload["steps"], row["answer"])
    chosen = chosen_sections(payload, policy)
    reasoning = row["reasoning"] if chosen is None else chosen
    return completion_text(recipe.format, reasoning, row["answer"])


def reads_payload(recipes: Iterable[Recipe], policy: Policy) -> bool:
    """Say whether more than reasoning and answer is needed for the supervised text."""
    return policy.sections is not None or any(recipe.format == "steps" for recipe in recipes)


def chosen_sections(payload: Mapping[str, Any], policy: Policy) -> str | None:
    """Return the running text of the sections the policy names.

    None where it names none, or where the trace lacks one of them.
    """
    parts: Mapping[str, str] = payload.get("sections", {})
    if policy.sections is None or not all(name in parts for name in policy.sections):
        return None
    return join_sections(parts, policy.sections)
