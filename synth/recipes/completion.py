"""A completion as a student writes it: made of a trace's two parts, and taken apart into them."""

from synth.models.families import FAMILIES, THINK_CLOSE, THINK_OPEN, Split, split_reasoning
from synth.records import Reply


def completion_text(format: str, reasoning: str, answer: str) -> str:
    """Return the whole text of a turn.

    Args:
        format: Of the recipe, `think` or `answer`; marked steps are kept as they were written,
            and never made of these two parts.
        reasoning: The thought; left out by `answer`.
        answer: What the user would read.

    Raises:
        ValueError: The format is another one.
    """
    if format == "think":
        return f"{THINK_OPEN}\n{reasoning}\n{THINK_CLOSE}\n\n{answer}"
    if format == "answer":
        return answer
    raise ValueError(f"no completion is made of two parts in the format {format!r}")


def take_apart(reply: Reply) -> Split:
    """Return the parts of a student's reply, whether or not its door has split them already."""
    if reply.reasoning:
        return Split(reply.reasoning, reply.text, closed=bool(reply.text.strip()))
    return split_reasoning(reply.text, FAMILIES["generic"])


def is_whole(parts: Split) -> bool:
    """Say whether a reply has both parts and no stray tag; one left open has no answer."""
    tags = (THINK_OPEN, THINK_CLOSE)
    both = (parts.reasoning, parts.answer)
    return all(part.strip() and not any(tag in part for tag in tags) for part in both)
