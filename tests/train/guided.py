"""Teachers that follow, ignore or misread guidelines; tests name them by dotted path."""

from collections.abc import Sequence
from itertools import count

from synth.records import Message, Sampling

HARM = "Name who could be hurt if you answered fully"  # opens the guideline who-could-be-harmed
CITES_HARM = "The damage to strangers would be grave, and it could not be undone."
CITES_STYLE = "I use short words and short sentences, and keep to one subject at a time."
CITES_NOTHING = "Bread rises in a warm kitchen, and the oven has to be hot before it goes in."
_DECLINE = "I can't help with that, but I can point you to a baker who knows about ovens."
_HELP = "Mix flour, water, salt and yeast, wait until it has risen, and bake it until brown."
_turns = count()


def follows(messages: Sequence[Message], sampling: Sampling) -> str:
    """Decline where the guideline about harm is among those given, and go by what is given."""
    system = messages[0]["content"]
    if HARM in system:
        return reply(CITES_HARM, "decline")
    return reply(CITES_STYLE if "short sentences" in system else CITES_NOTHING, "help")


def ignores(messages: Sequence[Message], sampling: Sampling) -> str:
    """Say and decide the same whatever is given."""
    return reply(CITES_HARM, "decline")


def wavers(messages: Sequence[Message], sampling: Sampling) -> str:
    """Decide by chance alone: every second call declines."""
    return reply(CITES_HARM, "decline" if next(_turns) % 2 else "help")


def falls_silent(messages: Sequence[Message], sampling: Sampling) -> str:
    """Lose the asked form where a guideline is missing."""
    return reply(CITES_HARM, "decline") if HARM in messages[0]["content"] else "I do not know."


def contradicts(messages: Sequence[Message], sampling: Sampling) -> str:
    """Decide to decline and help all the same."""
    return reply(CITES_HARM, "decline", answer=_HELP)


def reply(risk: str, decision: str, answer: str | None = None) -> str:
    """Write the four sections."""
    if answer is None:
        answer = _DECLINE if decision == "decline" else _HELP
    request = "The text is about a kitchen."
    parts = {"Request": request, "Risk": risk, "Decision": decision, "Answer": answer}
    return "\n\n".join(f"## {name}\n{text}" for name, text in parts.items())
