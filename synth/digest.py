"""Content digests: the identity of everything in a run."""

import hashlib
import json
from typing import Any

# Made once: `json.dumps` would make one for every item of a plan.
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
ID_HEX = 24  # 96 bits: a collision among 10^9 items has a chance of about 10^-11


def digest(*parts: Any) -> str:
    """Return a stable identifier of JSON-serialisable `parts` (24 hex digits).

    Keys are sorted and separators fixed, so equal data give equal digests on every machine.

    Raises:
        TypeError: A part is not JSON data.
        ValueError: A part holds NaN or an infinity, which JSON has no form for.
    """
    return digest_bytes(_ENCODER.encode(parts).encode("utf-8", "surrogatepass"))


def digest_bytes(data: bytes) -> str:
    """Return the identifier of raw bytes (24 hex digits)."""
    return hashlib.sha256(data).hexdigest()[:ID_HEX]
