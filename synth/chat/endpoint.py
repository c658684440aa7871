"""The chat of any OpenAI-compatible server.

What goes beyond the common protocol (grammars, continuing a turn, keeping stop strings) is
asked for in vLLM's words, and only of a server whose config says that it can. Unlike our own
engines, a server renders the conversation itself: whether a user's text can forge a turn is
the server's affair.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Never

import aiohttp
from pydantic import BaseModel, ValidationError
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from synth.chat import Ability, Message, Reply, Sampling
from synth.chat.connect import ChatSpec
from synth.errors import BadInput, CapacityFault, Invalid, PoolFault, RowFault, RunFault
from synth.families import family_of, split_reasoning, thought_is_open

_ATTEMPTS = 4  # of one call; beyond that the scheduler decides
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 20
_MAX_DETAIL_CHARS = 300
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "too long")


class _Top(BaseModel):
    token: str
    logprob: float


class _Token(_Top):
    top_logprobs: list[_Top] = []


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage = _Usage()


class EndpointChat:
    """A `Chat` over HTTP. Its connections are shared by all calls; `aclose` ends them."""

    def __init__(self, spec: ChatSpec) -> None:
        assert spec.endpoint is not None, "a spec of this kind has an endpoint"
        self.can = spec.can
        self._model = spec.endpoint.model
        self._url = f"{spec.endpoint.base_url.rstrip('/')}/chat/completions"
        self._headers = _headers(spec.endpoint.api_key_env)
        self._max_concurrency = spec.endpoint.max_concurrency
        self._timeout_s = spec.call_timeout_s
        self._family = family_of(spec.endpoint.model)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages`; a fault of the server is tried again a few times.

        Raises:
            CapacityFault: The server is full.
            PoolFault: It can not be reached, breaks down, or answers no completion.
            Invalid: The prompt is too long, or asks for what the server can not.
            RowFault: The server rejects the request.
            RunFault: It rejects the key, or knows no such model.
        """
        body = request_body(self._model, messages, sampling, self.can)
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
            stop=stop_after_attempt(_ATTEMPTS),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                completion = await retrying(self._post, body)
        except TimeoutError as error:
            raise PoolFault(f"{self._url}: no answer within {self._timeout_s:g} s") from error
        return self._reply(completion, messages, sampling)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: Mapping[str, Any]) -> _Completion:
        try:
            async with self._open().post(self._url, json=body, allow_redirects=False) as response:
                text = await response.text()
        except (aiohttp.ClientError, UnicodeDecodeError) as error:
            raise PoolFault(f"{self._url}: {error!r}") from error
        if response.status != 200:
            _refuse(self._url, response.status, response.headers, text)
        try:
            return _Completion.model_validate_json(text)
        except ValidationError as error:
            raise PoolFault(f"{self._url}: no completion: {text[:_MAX_DETAIL_CHARS]}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None),  # the call's own deadline rules
                connector=aiohttp.TCPConnector(limit=self._max_concurrency),
            )
        return self._session

    def _reply(
        self, completion: _Completion, messages: Sequence[Message], sampling: Sampling
    ) -> Reply:
        if not completion.choices:
            raise PoolFault(f"{self._url}: an answer without choices")
        choice = completion.choices[0]
        if choice.finish_reason == "content_filter":
            raise RowFault("the server's content filter ended the text")
        text = choice.message.content or ""
        reasoning = choice.message.reasoning or choice.message.reasoning_content or ""
        if not reasoning and not _constraints(sampling):
            last = messages[-1]
            prefix = last["content"] if last["role"] == "assistant" else ""
            opened = thought_is_open(prefix, self._family) if prefix else None
            reasoning, text, _ = split_reasoning(text, self._family, opened=opened)
        return Reply(
            text=text,
            reasoning=reasoning,
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            prompt_tokens=completion.usage.prompt_tokens,
            output_tokens=completion.usage.completion_tokens,
            logprobs=_logprobs(choice.logprobs),
        )


def request_body(
    model: str, messages: Sequence[Message], sampling: Sampling, can: frozenset[Ability]
) -> dict[str, Any]:
    """Return the JSON of a request.

    Raises:
        Invalid: It would need an ability that is not in `can`.
    """
    needs = set(_constraints(sampling))
    body: dict[str, Any] = {
        "model": model,
        "messages": list(messages),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.keep_stop:
        needs.add("keep_stop")
        body["include_stop_str_in_output"] = True
    if sampling.logprobs is not None:
        needs.add("logprobs")
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    if messages[-1]["role"] == "assistant":
        needs.add("prefix")
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if sampling.json_schema is not None:
        schema = {"name": "answer", "schema": json.loads(sampling.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if sampling.regex is not None:
        body["structured_outputs"] = {"regex": sampling.regex}
    if sampling.choice is not None:
        body["structured_outputs"] = {"choice": list(sampling.choice)}
    if missing := sorted(needs - can):
        raise Invalid(f"the endpoint can not: {', '.join(missing)}")
    return body


def _constraints(sampling: Sampling) -> list[Ability]:
    asked: dict[Ability, object] = {
        "regex": sampling.regex,
        "choice": sampling.choice,
        "json": sampling.json_schema,
    }
    return [name for name, value in asked.items() if value is not None]


def _headers(api_key_env: str | None) -> dict[str, str]:
    if api_key_env is None:
        return {}
    key = os.environ.get(api_key_env)
    if not key:
        raise BadInput(
            file="environment",
            field="endpoint.api_key_env",
            value=api_key_env,
            rule="names the variable that holds the key, and it is not set",
        )
    return {"Authorization": f"Bearer {key}"}


def _may_pass(error: BaseException) -> bool:
    """A full server is the scheduler's business: it must send less, not more."""
    return isinstance(error, PoolFault) and not isinstance(error, CapacityFault)


def _refuse(url: str, status: int, headers: Mapping[str, str], text: str) -> Never:
    """Raise what an answer other than 200 means."""
    detail = f"{url}: {status}: {text[:_MAX_DETAIL_CHARS]}"
    if status in (429, 503):
        raise CapacityFault(detail, retry_after_s(headers.get("Retry-After")))
    if status >= 500 or status == 408:
        raise PoolFault(detail)
    if status in (401, 404):
        raise RunFault(f"the key or the model is refused: {detail}")
    if status == 413 or (status == 400 and any(sign in text.lower() for sign in _TOO_LONG)):
        raise Invalid(detail)
    raise RowFault(detail)


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header names, as a number or as a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _logprobs(logprobs: _Logprobs | None) -> tuple[dict[str, float], ...] | None:
    if logprobs is None or logprobs.content is None:
        return None
    return tuple(
        {entry.token: entry.logprob for entry in (*token.top_logprobs, token)}
        for token in logprobs.content
    )
