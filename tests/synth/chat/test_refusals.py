"""Whose fault an answer is that is no completion."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from synth.chat.endpoint import MAX_DETAIL_CHARS, fault_of, retry_after_s, summary
from synth.chat.wire import error_message
from synth.errors import CapacityFault, Invalid, PoolFault, Refused, RowFault

URL = "http://host/v1"


@pytest.mark.parametrize(
    ("status", "text", "fault"),
    [
        (500, "oh", PoolFault),
        (502, "oh", PoolFault),
        (503, "no upstream", PoolFault),
        (408, "late", PoolFault),
        (429, "slow down", CapacityFault),
        (529, "overloaded", CapacityFault),
        (429, '{"error": {"code": "insufficient_quota"}}', Refused),
        (402, "pay first", Refused),
        (400, '{"error": {"code": "context_length_exceeded"}}', Invalid),
        (400, "This model's maximum context length is 1024 tokens.", Invalid),
        (413, "large", Invalid),
        (400, "bad grammar", RowFault),
        (422, "bad field", RowFault),
        (403, "your input was flagged", RowFault),
        (302, "elsewhere", Refused),
        (405, "no chat here", Refused),
        (401, "bad key", Refused),
        (403, "not for you", Refused),
        (404, "no such model", Refused),
    ],
)
def test_each_status_is_somebodys(status: int, text: str, fault: type[Exception]) -> None:
    for answer in (text, json.dumps({"error": {"message": text}})):
        found = fault_of(URL, status, {}, answer.encode(), None)
        assert type(found) is fault
        assert str(found).startswith(f"{URL}: {status}: ")


@pytest.mark.parametrize(
    ("status", "field"),
    [(401, "api_key_env"), (403, "api_key_env"), (404, "model"), (302, "base_url")],
)
def test_a_refusal_names_what_is_to_be_mended(status: int, field: str) -> None:
    found = fault_of(URL, status, {}, b"no", None)
    assert isinstance(found, Refused)
    assert found.field == field


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_full_server_names_its_wait(status: int) -> None:
    found = fault_of(URL, status, {"Retry-After": "7"}, b"no", None)
    assert isinstance(found, CapacityFault)
    assert found.retry_after_s == 7


def test_an_answer_is_told_in_short_and_on_one_line() -> None:
    told = str(fault_of(URL, 500, {}, json.dumps({"message": "oh\n" * 1_000}).encode(), None))
    assert told.startswith(f"{URL}: 500: oh oh oh")
    assert len(told) < MAX_DETAIL_CHARS + 40
    assert "\n" not in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"error": {"message": "no", "type": "t", "code": 4}}, "no"),
        ({"error": "no", "message": "else"}, "no"),
        ({"object": "error", "message": "no"}, "no"),
        ({"error": {"code": 4}, "detail": "no"}, "no"),
        ({"detail": [{"msg": "no"}]}, None),
        ({"error": {"message": " \n"}}, None),
        ({"error": {"message": 4}}, None),
        (["no"], None),
        ("no", None),
        (None, None),
    ],
)
def test_the_message_of_an_answer(content: object, message: str | None) -> None:
    assert error_message(json.dumps(content).encode()) == message


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>no</html>",
        b'{"message": "no',
        b"\xff\xfe",
        b"[" * 9_000,
        b'{"message": "\\ud800"}',
    ],
)
def test_an_answer_without_a_message_is_told_by_its_size(answer: bytes) -> None:
    assert summary(answer, None) == f"{len(answer)} bytes without a message"


def test_a_large_answer_is_not_looked_into() -> None:
    answer = json.dumps({"message": "no", "more": "x" * 100_000}).encode()
    assert summary(answer, None) == f"{len(answer)} bytes without a message"


def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < (retry_after_s(soon) or 0) <= 60
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 -0000") == 0
    assert retry_after_s("soon") is None
    assert retry_after_s("-5") is None
    assert retry_after_s(" 1.5 ") == 1.5
    assert retry_after_s(None) is None
