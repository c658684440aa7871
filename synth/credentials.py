"""Credentials: read from the environment, checked, and cut out of what servers say.

A server that refuses a key likes to repeat it: as it came, escaped for JSON, HTML or a URL, packed
in base64 or hex, or masked but for its ends. It has the key and could hide it in any other way;
this is about software that knows no better.
"""

import base64
import html
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote

from synth.errors import BadInput

MARK = "[key]"

# A piece of a key is four of its characters in a row: masks leave as many at its end, and fewer
# stand in words that have nothing to do with it. Packed they are eight hex digits, or six letters
# of base64.
_PIECE_CHARS, _HEX_PIECE_CHARS, _BASE64_PIECE_CHARS = 4, 8, 6
_MIN_SECRET_CHARS = 16  # a shorter key is a placeholder such as EMPTY, which any text may hold
_MAX_READINGS = 16  # what can be decoded in more ways than this is not looked into

_VISIBLE = re.compile("[!-~]+")
_MASKED = re.compile(r"\*\*|••|xxxx|\S(?:\.\.\.|…)\S", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(.))", re.IGNORECASE)


def read_credential(name: str) -> str | None:
    """Return what the environment's variable `name` holds; None where that is nothing.

    Raises:
        BadInput: It holds what no header of a request can carry.
    """
    value = os.environ.get(name) or None
    if value is not None and _VISIBLE.fullmatch(value) is None:
        rule = "must be visible ASCII characters, without spaces and line breaks"
        raise BadInput(file="environment", field=name, value="(not shown)", rule=rule)
    return value


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return `text` on one line, with `MARK` for every word that may hold a piece of a secret.

    That is a word in which a piece stands, plain, escaped or packed, or which is masked. All of it
    goes: what is left around a piece may tell of it, too.
    """
    pieces = frozenset[str]().union(*map(_pieces, secrets))
    return " ".join(MARK if pieces and _tells(word, pieces) else word for word in text.split())


def repeats(text: str, secret: str) -> bool:
    """Say whether `text` holds the whole of `secret`, plain, escaped or packed."""
    if len(secret) < _MIN_SECRET_CHARS:
        return False
    spelled = [spelling.casefold() for spelling, _ in _spellings(secret)]
    return any(one in reading for reading in _readings(text) for one in spelled)


def _tells(word: str, pieces: frozenset[str]) -> bool:
    readings = list(_readings(word))
    return len(readings) == _MAX_READINGS or any(
        _MASKED.search(reading) is not None or any(piece in reading for piece in pieces)
        for reading in readings
    )


@lru_cache(maxsize=64)
def _pieces(secret: str) -> frozenset[str]:
    return frozenset(
        spelling[start : start + length].casefold()
        for spelling, length in _spellings(secret)
        for start in range(len(spelling) - length + 1)
    )


def _spellings(secret: str) -> Iterator[tuple[str, int]]:
    """Yield what decoders leave as it is, each with the length of its pieces."""
    data = secret.encode()
    yield secret, min(len(secret), _PIECE_CHARS)
    yield data.hex(), _HEX_PIECE_CHARS
    for num_before in range(3):  # bytes packed with it shift the bits of base64
        packed = base64.b64encode(bytes(num_before) + data).decode()
        first, end = -(-8 * num_before // 6), 8 * (num_before + len(data)) // 6
        yield packed[first:end], _BASE64_PIECE_CHARS
        yield packed[first:end].translate({ord("+"): "-", ord("/"): "_"}), _BASE64_PIECE_CHARS


def _readings(text: str) -> Iterator[str]:
    """Yield `text`, and what decoders make of it in any order, without regard to case."""
    known, due = {text}, deque([text])
    while due:
        reading = due.popleft()
        yield reading.casefold()
        for decode in (html.unescape, unquote, _unescaped):
            plain = decode(reading)
            if plain not in known and len(known) < _MAX_READINGS:
                known.add(plain)
                due.append(plain)


def _unescaped(text: str) -> str:
    """Return `text` without the escapes of JSON and of program text."""
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else escape[3]
