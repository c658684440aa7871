"""Text of unknown origin made plain: what a terminal would act on, or show in another order.

Prompts, model output and file names are hostile. Whatever of them reaches a screen, a log or a
page goes through here first.
"""


def printable(text: str) -> str:
    """Return `text` with every character that is not printable escaped; line feeds and tabs stay.

    That covers control characters (so every terminal escape), and the invisible ones that turn
    the direction of what follows.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """Return `text` as `printable` does, with line feeds and tabs escaped, too."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
