"""Text as an attacker would write it into prompts, categories, answers and names."""

from collections.abc import Sequence

from guidelines import GuidelineSet
from synth.recipes.base import Models, Recipe, Step
from synth.records import Item, Message, Sampling, Trace

TERMINAL = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1mred\r"
TURNED = "\u202etxt.exe\u2066\u200b"
HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>"
MARKDOWN = (
    "![x](https://evil.example/p.png) [y](javascript:alert(1)) https://evil.example/ "
    "www.evil.example `a` | **b** <b>c</b> &lt;script&gt;"
)
FORGED = "\n# Forged heading\n12:00:00 all rows accepted\n"
HOSTILE = f"{TERMINAL}{TURNED} {HTML} {MARKDOWN} ../../up{FORGED}"


async def step(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """A step that does nothing, of recipes that are only named."""
    return []


def blocking(item: Item, models: Models, guidelines: GuidelineSet | None) -> list[Trace]:
    """No step: it is not async."""
    return []


ESCAPING = Recipe(name="../../up", version=1, steps=(Step(step),))


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    """A script that answers with all of it."""
    return f"{HOSTILE} Here is how: cut the bread, butter it and eat it."


def is_plain(text: str) -> bool:
    """Say whether a terminal would only show this, line by line."""
    return all(c.isprintable() or c == "\n" for c in text)
