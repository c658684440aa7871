"""The one error for input that a user can correct."""

import reprlib

from guidelines.plain import one_line

_MAX_CHARS = {"file": 200, "field": 80, "value": 80, "rule": 400}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = _MAX_CHARS["value"]


class BadInput(ValueError):
    """Input that breaks a stated rule.

    `str()` is one printable line, `file: field: value ...: rule`, whatever the parts hold:
    long parts are cut, and line breaks and terminal escapes are written as escapes.

    Attributes:
        file: Where the input stands: a path, a URI, or the name that was looked up.
        field: The key, line or part at fault.
        value: What was found there, as found.
        rule: What would have been right.
    """

    def __init__(self, *, file: str, field: str, value: object, rule: str) -> None:
        self.file = file
        self.field = field
        self.value = value
        self.rule = rule
        parts = {"file": file, "field": field, "value": _repr(value), "rule": rule}
        line = {name: one_line(_cut(text, _MAX_CHARS[name])) for name, text in parts.items()}
        super().__init__("{file}: {field}: value {value}: {rule}".format_map(line))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not fit BaseException's own reduce; Ray pickles every error.
        return _revive, (self.file, self.field, self.value, self.rule)


def _revive(file: str, field: str, value: object, rule: str) -> BadInput:
    return BadInput(file=file, field=field, value=value, rule=rule)


def _repr(value: object) -> str:
    try:
        return _short.repr(value)
    except ValueError:  # an integer with more digits than Python agrees to print
        return f"<{type(value).__name__}>"


def _cut(text: str, max_chars: int) -> str:
    """Cut the middle out of what is too long."""
    if len(text) <= max_chars:
        return text
    half = (max_chars - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
