"""What servers make of a key that they repeat, and whether a text lets it be recognised.

The search decodes what it reads, with decoders of its own: it knows nothing of how a key is cut.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, unquote

from hypothesis import strategies as st

PIECE_CHARS = 4  # what a masked key still shows, of which nothing may be left
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_TOKEN = re.compile(r"[A-Za-z0-9_+/-]{8,}")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")

Spelling = Callable[[str], str]


def _each(form: str) -> Spelling:
    return lambda key: "".join(form.format(ord(char)) for char in key)


def _packed(form: str) -> Spelling:
    return lambda key: base64.b64encode(form.format(key).encode()).decode()


ESCAPES: Mapping[str, Spelling] = {
    "plain": lambda key: key,
    "lower": str.lower,
    "upper": str.upper,
    "json": lambda key: json.dumps(key)[1:-1],
    "json slashes": lambda key: json.dumps(key)[1:-1].replace("/", r"\/"),
    "json codes": _each(r"\u{:04x}"),
    "json upper codes": _each(r"\u{:04X}"),
    "repr codes": _each(r"\x{:02x}"),
    "percent": lambda key: quote(key, safe=""),
    "percent lower": lambda key: re.sub("%..", lambda m: m[0].lower(), quote(key, safe="")),
    "percent codes": _each("%{:02x}"),
    "html": html.escape,
    "html codes": _each("&#{};"),
    "html hex codes": _each("&#X{:02X};"),
}
PACKINGS: Mapping[str, Spelling] = {
    "base64": _packed("{}"),
    "base64 bearer": _packed("Bearer {}"),
    "base64 basic": _packed("user:{}"),
    "base64 url": lambda key: base64.urlsafe_b64encode(f":{key}".encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "hex upper": lambda key: key.encode().hex().upper(),
}
MASKS: Mapping[str, Spelling] = {
    "masked": lambda key: f"{key[:3]}{'*' * 12}{key[-4:]}",
    "shortened": lambda key: f"{key[:7]}...{key[-4:]}",
    "its end": lambda key: key[-4:],
}
WHOLE = {**ESCAPES, **PACKINGS}
SPELLINGS = {**WHOLE, **MASKS}


@st.composite
def chains(draw: st.DrawFn) -> list[str]:
    """Draw spellings to apply in turn: packed at most once, then escaped and masked."""
    packed = draw(st.lists(st.sampled_from(sorted(PACKINGS)), max_size=1))
    escaped = draw(st.lists(st.sampled_from(sorted(ESCAPES)), max_size=2))
    return packed + escaped + draw(st.lists(st.sampled_from(sorted(MASKS)), max_size=1))


def spelled(key: str, ways: list[str]) -> str:
    """Return what becomes of `key`."""
    for way in ways:
        key = SPELLINGS[way](key)
    return key


def leaked(text: str, key: str) -> str | None:
    """Return a piece of `key` that `text` shows to who decodes it, or None."""
    pieces = {key[at : at + PIECE_CHARS].lower() for at in range(len(key) - PIECE_CHARS + 1)}
    readings = (reading.lower() for reading in _readings(text))
    return next((piece for reading in readings for piece in pieces if piece in reading), None)


def _readings(text: str) -> Iterator[str]:
    for first in _decoded(text):
        for second in _decoded(first):
            yield second
            yield from _unpacked(second)


def _decoded(text: str) -> set[str]:
    """Return the text, and what each way to escape makes of it."""
    return {text, html.unescape(text), unquote(text), _ESCAPED.sub(_character, text)}


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else match[3]


def _unpacked(text: str) -> Iterator[str]:
    """Yield what stands in base64 or hex anywhere within a token."""
    for token in _TOKEN.findall(text):
        for start in range(4):
            packed = token[start:].translate({ord("-"): "+", ord("_"): "/"})
            yield base64.b64decode(packed[: len(packed) // 4 * 4]).decode("latin-1")
        for digits in re.findall("[0-9a-fA-F]{8,}", token):
            for start in range(2):
                even = digits[start : start + (len(digits) - start) // 2 * 2]
                yield binascii.unhexlify(even).decode("latin-1")
