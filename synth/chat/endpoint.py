"""The chat of any OpenAI-compatible server.

Each call is one request: waiting, trying again and finding the server's room are the business
of `synth.calls.metering` and `synth.calls.gate`. Unlike our own engines, a server renders the
conversation itself: whether a user's text can forge a turn is the server's affair. What it
answers in place of a completion is sorted by whose fault it is: the server's, the row's or the
configuration's (`fault_of`).
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from pydantic import ValidationError
from pydantic_core import to_json

from synth.chat import ChatSpec
from synth.chat.wire import (
    Choice,
    Completion,
    Text,
    Tokens,
    disobeyed,
    error_message,
    is_constrained,
    request_body,
)
from synth.credentials import read_credential, redacted, repeats
from synth.errors import (
    BadInput,
    CapacityFault,
    GuideweaveError,
    Invalid,
    PoolFault,
    Refused,
    RowFault,
)
from synth.models.families import family_of, split_reasoning, thought_is_open
from synth.records import Message, Reply, Sampling

MAX_DETAIL_CHARS = 300
_CONNECT_S = 30.0
_KEEPALIVE_S = 4.0  # below the 5 s after which common servers hang up on an idle connection
_MAX_ANSWER_BYTES = 64 << 20
_MAX_READ_BYTES, _MAX_READ_CHARS = 1 << 16, 2_000  # of an answer, and of the message in it
_FULL = (429, 529)  # 529: overloaded, as some hosts say it
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "too long")
_NO_MONEY = ("insufficient_quota", "billing")  # a 429 that no waiting ends
_FLAGGED = ("moderation", "flagged", "content_filter", "content policy")  # a 403 of one prompt
_BROKEN_OFF = ("abort", "error")  # finish reasons of servers that stop, or fail, in mid-text


def fault_of(
    url: str, status: int, headers: Mapping[str, str], answer: bytes, key: str | None
) -> GuideweaveError:
    """Return what an answer with a `status` other than 200 means.

    Args:
        url: Who gave it.
        status: Its status.
        headers: Its headers.
        answer: Its body.
        key: What the server was sent, and may repeat.
    """
    detail = f"{url}: {status}: {summary(answer, key)}"
    said = answer[:_MAX_READ_BYTES].decode(errors="replace").lower()
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


def summary(answer: bytes, key: str | None) -> str:
    """Return what may be shown of an answer without a completion: its message, else its size."""
    message = error_message(answer) if len(answer) <= _MAX_READ_BYTES else None
    if message is None:
        return f"{len(answer)} bytes without a message"
    return shown(message, key)


def shown(said: str, key: str | None) -> str:
    """Return, of what a server said, a line without the key."""
    return redacted(said[:_MAX_READ_CHARS], [] if key is None else [key])[:MAX_DETAIL_CHARS]


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


class EndpointChat:
    """A `Chat` over HTTP. Its connections are shared by all calls; `aclose` ends them."""

    def __init__(self, spec: ChatSpec) -> None:
        assert spec.endpoint is not None, "a spec of this kind has an endpoint"
        self.can = spec.can
        self._model = spec.endpoint.model
        self._served_as = spec.endpoint.served_as or spec.endpoint.model
        self._url = f"{spec.endpoint.base_url.rstrip('/')}/chat/completions"
        self._key = _key(spec.endpoint.api_key_env)
        self._timeout_s = spec.call_timeout_s
        self._family = family_of(spec.endpoint.model, spec.family)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`.

        Raises:
            CapacityFault: The server is full.
            PoolFault: It can not be reached, breaks down, or answers no completion in time.
            Invalid: The prompt is too long, or asks for what the server can not.
            RowFault: The server rejects the request, does not keep to its constraint, or has put
                the key into the text.
            Refused: It rejects the key, or serves no such model.
        """
        body = request_body(self._model, messages, sampling, self.can)
        try:
            async with asyncio.timeout(self._timeout_s):
                completion = await self._post(body)
        except TimeoutError as error:
            raise PoolFault(f"{self._url}: no answer within {self._timeout_s:g} s") from error
        reply = self._reply(completion, messages, sampling)
        self._check_key_is_not_in(reply)
        if (fault := disobeyed(reply, sampling)) is not None:
            raise RowFault(f"the reply of {self._url} is not as asked: {fault}")
        return reply

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: Mapping[str, Any]) -> Completion:
        try:
            async with self._open().post(
                self._url, data=to_json(body), allow_redirects=False
            ) as response:
                answer = await self._bounded(response.content)
        except aiohttp.ClientError as error:
            # All but the system's own faults quote what the server sent, and their `repr` holds
            # the request's headers, so none of them goes further, not even as a cause.
            detail = f": {error}" if isinstance(error, OSError) else ""
            raise PoolFault(f"{self._url}: {type(error).__name__}{detail}") from None
        if response.status != 200:
            raise fault_of(self._url, response.status, response.headers, answer, self._key)
        try:
            return Completion.model_validate_json(answer)
        except ValidationError:
            said = summary(answer, self._key)
            raise PoolFault(f"{self._url}: no completion: {said}") from None

    async def _bounded(self, content: aiohttp.StreamReader) -> bytes:
        """Return an answer's body, unless it goes on and on."""
        chunks, size = [], 0
        async for chunk in content.iter_any():
            chunks.append(chunk)
            if (size := size + len(chunk)) > _MAX_ANSWER_BYTES:
                raise PoolFault(f"{self._url}: an answer of over {_MAX_ANSWER_BYTES} bytes")
        return b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                # How many calls there may be is for the pool's gate to say, not for connections.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _check_key_is_not_in(self, reply: Reply) -> None:
        """Refuse a text that no model has written: some servers answer errors as completions."""
        if self._key is not None and (
            repeats(reply.text, self._key) or repeats(reply.reasoning, self._key)
        ):
            raise RowFault(f"the reply of {self._url} repeats the key")

    def _reply(
        self, completion: Completion, messages: Sequence[Message], sampling: Sampling
    ) -> Reply:
        choice = self._choice(completion)
        reasoning, text = self._split(choice.message, messages[-1], sampling)
        usage = completion.usage or Tokens()
        read, written = usage.prompt_tokens, usage.completion_tokens
        return Reply(
            text=text,
            reasoning=reasoning,
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            prompt_tokens=read or 0,
            output_tokens=written or 0,
            counted=read is not None and written is not None,
            logprobs=None if choice.logprobs is None else choice.logprobs.by_token(),
        )

    def _split(self, written: Text, last: Message, sampling: Sampling) -> tuple[str, str]:
        """Return the reasoning and the rest of what was written.

        What the server took apart itself is left so. Where it did not, the family's marks tell,
        unless a grammar rules the whole text.
        """
        text = written.content or ""
        separate = (written.reasoning, written.reasoning_content)
        if reasoning := separate[0] or separate[1]:
            return reasoning, text
        if is_constrained(sampling):
            return "", text
        opened: bool | None = None  # as the family does
        if last["role"] == "assistant" and last["content"]:
            opened = thought_is_open(last["content"], self._family)
        elif separate != (None, None):
            opened = False  # it takes reasoning out, and says that there was none
        reasoning, text, _ = split_reasoning(text, self._family, opened=opened)
        return reasoning, text

    def _choice(self, completion: Completion) -> Choice:
        """Return the one completion, once it is known to be of the model asked for."""
        if completion.model is not None and not _same_model(completion.model, self._served_as):
            name = shown(completion.model, self._key)
            rule = f"answers as {name!r}; if that is the model, say so in served_as"
            raise Refused(f"{self._url}: asked for {self._model!r}, {rule}", "model")
        if not completion.choices:
            raise PoolFault(f"{self._url}: an answer without choices")
        choice = completion.choices[0]
        if choice.finish_reason == "content_filter":
            raise RowFault("the server's content filter ended the text")
        if choice.finish_reason in _BROKEN_OFF:
            raise PoolFault(f"{self._url}: it ended the text: {choice.finish_reason}")
        return choice


def _same_model(told: str, asked: str) -> bool:
    """Say whether a server that calls itself `told` is what was asked for.

    Hosts answer for a name with the dated version that it stands for at the time, and some
    leave the organisation out.
    """
    told, asked = told.lower(), asked.lower()
    if "/" not in told or "/" not in asked:
        told, asked = told.rpartition("/")[2], asked.rpartition("/")[2]
    return told == asked or re.fullmatch(rf"{re.escape(asked)}[-@:][\d-]+", told) is not None


def _key(api_key_env: str | None) -> str | None:
    if api_key_env is None:
        return None
    key = read_credential(api_key_env)
    if key is None:
        raise BadInput(
            file="environment",
            field="endpoint.api_key_env",
            value=api_key_env,
            rule="names the variable that holds the key, and it is not set",
        )
    return key
