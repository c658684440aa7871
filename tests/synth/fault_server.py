"""An OpenAI-compatible server for tests: it does what vLLM's would, and fails as it is told."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum, auto
from random import Random
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from synth.chat.matching import matching_json, matching_text
from synth.records import ABILITIES, Ability, digest


class Fault(Enum):
    """What may go wrong with one request."""

    FULL = auto()  # 429
    FULL_FOR_A_SECOND = auto()  # 429, Retry-After: 1
    FULL_UNTIL_A_DATE = auto()  # 503, Retry-After: a date one second ahead
    OVERLOADED = auto()  # 529
    BROKEN = auto()  # 500
    DOWN = auto()  # 503 without Retry-After
    HANG = auto()
    HALF_BODY = auto()
    DROPPED = auto()  # the connection, without an answer
    WRONG_JSON = auto()
    NOT_HTTP = auto()
    ABORTED = auto()  # a completion that the server gave up in mid-text
    WRONG_MODEL = auto()
    TOO_LONG = auto()  # 400
    REJECTED = auto()  # 400
    FLAGGED = auto()  # 403 for what the prompt says
    WRONG_KEY = auto()  # 401
    FORBIDDEN = auto()  # 403
    NO_SUCH_MODEL = auto()  # 404
    UNPAID = auto()  # 429 that no waiting ends


Mishaps = Callable[[str, int], Fault | None]
"""What goes wrong with the n-th request (from 0) of a prompt."""

_STATUS: Mapping[Fault, tuple[int, str]] = {
    Fault.FULL: (429, "slow down"),
    Fault.FULL_FOR_A_SECOND: (429, "slow down"),
    Fault.FULL_UNTIL_A_DATE: (503, "slow down"),
    Fault.OVERLOADED: (529, "overloaded"),
    Fault.BROKEN: (500, "oh"),
    Fault.DOWN: (503, "no upstream"),
    Fault.TOO_LONG: (400, "This model's maximum context length is 1024 tokens."),
    Fault.REJECTED: (400, "bad field"),
    Fault.FLAGGED: (403, "your input was flagged"),
    Fault.WRONG_KEY: (401, "Incorrect API key provided."),
    Fault.FORBIDDEN: (403, "not for you"),
    Fault.NO_SUCH_MODEL: (404, "The model does not exist."),
    Fault.UNPAID: (429, "insufficient_quota: check your plan"),
}


def nothing_wrong(prompt: str, number: int) -> Fault | None:
    """The mishaps of a server in good health."""
    return None


class FaultServer:
    """One server.

    Attributes:
        url: Its address, up to `/v1`.
        requests: Every request's JSON, in order.
        answered: Completions by prompt.
        text: What it writes to every request, where it is told.
        message: Further fields of the turns that it writes.
        most_inside: The most requests that it had at once.
    """

    def __init__(
        self, mishaps: Mishaps = nothing_wrong, can: frozenset[Ability] = ABILITIES
    ) -> None:
        self.url = ""
        self.mishaps, self.can = mishaps, can
        self.room: int | None = None
        self.counts_tokens = True
        self.key: str | None = None
        self.latency_s = 0.0
        self.text: str | None = None
        self.message: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []
        self.answered: Counter[str] = Counter()
        self.inside = self.most_inside = 0
        self._asked: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or fail it."""
        body = await request.json()
        prompt = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        self.requests.append(body)
        fault = self.mishaps(prompt, self._asked[prompt])
        self._asked[prompt] += 1
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            fault = Fault.WRONG_KEY
        if fault is None and self.room is not None and self.inside >= self.room:
            fault = Fault.FULL
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        try:
            await asyncio.sleep(self.latency_s)
            if fault is None:
                self.answered[prompt] += 1
                return web.json_response(self._complete(body))
            return await self._fail(fault, request, body)
        finally:
            self.inside -= 1

    async def _fail(
        self, fault: Fault, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        if fault in _STATUS:
            status, text = _STATUS[fault]
            told = {"error": {"message": text}}
            return web.json_response(told, status=status, headers=_retry_after(fault))
        if fault is Fault.HANG:
            await asyncio.sleep(3600)
        if fault is Fault.WRONG_JSON:
            return web.Response(text='{"choices": [{"message": {"cont')
        if fault is Fault.ABORTED:
            return web.json_response(self._complete(body, finish_reason="abort"))
        if fault is Fault.WRONG_MODEL:
            return web.json_response({**self._complete(body), "model": "small"})
        return await _break_off(fault, request)

    def _complete(self, body: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
        text = _written(body, self.can) if self.text is None else self.text
        message = {"content": text, **self.message}
        choice: dict[str, Any] = {"message": message, "finish_reason": finish_reason}
        if body.get("logprobs") and "logprobs" in self.can:
            top = [{"token": word, "logprob": -3.0} for word in "ab"]
            token = {"token": text, "logprob": -0.1, "top_logprobs": top}
            choice["logprobs"] = {"content": [token]}
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        counted = {"usage": usage} if self.counts_tokens else {}
        return {"model": body["model"], "choices": [choice], **counted}


@asynccontextmanager
async def running(server: FaultServer) -> AsyncIterator[FaultServer]:
    """Serve on a free port of this machine, from this process."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    async with TestServer(app) as served:
        server.url = str(served.make_url("/v1"))
        yield server


def now_and_then(share: float, *faults: Fault, seed: int = 0) -> Mishaps:
    """Fail a share of all requests, each in one of the ways given, the same ones every time."""

    def mishaps(prompt: str, number: int) -> Fault | None:
        random = Random(digest(seed, prompt, number))
        return random.choice(faults) if random.random() < share else None

    return mishaps


def at_first(fault: Fault, times: int = 1) -> Mishaps:
    """Fail the first requests of every prompt."""
    return lambda prompt, number: fault if number < times else None


def always(fault: Fault) -> Mishaps:
    """Fail every request."""
    return lambda prompt, number: fault


def only_for(prompts: str, fault: Fault) -> Mishaps:
    """Fail every request of the prompts that hold a text."""
    return lambda prompt, number: fault if prompts in prompt else None


def _retry_after(fault: Fault) -> dict[str, str]:
    if fault is Fault.FULL_FOR_A_SECOND:
        return {"Retry-After": "1"}
    if fault is Fault.FULL_UNTIL_A_DATE:
        soon = datetime.now(UTC) + timedelta(seconds=1)
        return {"Retry-After": format_datetime(soon, usegmt=True)}
    return {}


async def _break_off(fault: Fault, request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    if fault is Fault.HALF_BODY:
        await response.prepare(request)
        await response.write(b'{"choices"')
    if fault is Fault.NOT_HTTP:
        request.transport.write(b"this is no HTTP\r\n\r\n")
    request.transport.close()
    return response


def _written(body: dict[str, Any], can: frozenset[Ability]) -> str:
    """Return a text that heeds the request, as far as the server can."""
    asked = body.get("structured_outputs", {})
    if "regex" in asked and "regex" in can:
        return matching_text(asked["regex"], Random(0))
    if "choice" in asked and "choice" in can:
        return asked["choice"][0]
    if "response_format" in body and "json" in can:
        schema = body["response_format"]["json_schema"]["schema"]
        return matching_json(json.dumps(schema), Random(0))
    last = body["messages"][-1]
    if last["role"] == "assistant" and "prefix" in can:
        return ") blue" if last["content"].endswith("(3") else " and so on"
    text = f"You asked: {last['content']}"
    for stop in body.get("stop", ()):
        head, found, _ = text.partition(stop)
        kept = found if body.get("include_stop_str_in_output") and "keep_stop" in can else ""
        text = head + kept
    return text
