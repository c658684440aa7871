"""Whose fault an answer without a completion is: server's, row's or configuration's."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from synth.errors import CapacityFault, GuideweaveError, Invalid, PoolFault, Refused, RowFault

MAX_DETAIL_CHARS = 300
_FULL = (429, 529)  # 529: overloaded, as some hosts say it
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "too long")
_NO_MONEY = ("insufficient_quota", "billing")  # a 429 that no waiting ends
_FLAGGED = ("moderation", "flagged", "content_filter", "content policy")  # a 403 of one prompt


def fault_of(url: str, status: int, headers: Mapping[str, str], text: str) -> GuideweaveError:
    """Return what an answer with a `status` other than 200 means."""
    detail = f"{url}: {status}: {' '.join(text[:MAX_DETAIL_CHARS].split())}"
    said = text.lower()
    retry_after = headers.get("Retry-After")
    if status == 402 or (status == 429 and _any(_NO_MONEY, said)):
        return Refused(detail, "api_key_env")
    if status in _FULL or (status == 503 and retry_after is not None):
        return CapacityFault(detail, retry_after_s(retry_after))
    if status >= 500 or status == 408:
        return PoolFault(detail)
    if status == 403 and _any(_FLAGGED, said):
        return RowFault(detail)
    if status in (401, 403):
        return Refused(detail, "api_key_env")
    if status == 404:
        return Refused(detail, "model")
    if status < 400 or status == 405:
        return Refused(detail, "base_url")  # moved, or no chat: nothing was rejected
    if status == 413 or (status == 400 and _any(_TOO_LONG, said)):
        return Invalid(detail)
    return RowFault(detail)


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header names, as a number or as a date."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _any(signs: tuple[str, ...], said: str) -> bool:
    return any(sign in said for sign in signs)
