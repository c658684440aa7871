"""What goes over the wire to an OpenAI-compatible server, and what comes back.

What goes beyond the common protocol (grammars, continuing a turn, keeping stop strings) is
asked for in vLLM's words, and only of a server whose configuration says that it can. A server
that takes a grammar and ignores it answers fluently, and its rows would only be worse: so what
comes back is checked against what was asked for (`disobeyed`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jsonschema import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pydantic import BaseModel
from pydantic_core import from_json

from synth.errors import Invalid
from synth.records import Ability, Message, Reply, Sampling

_ERROR_PATHS = (("error", "message"), ("error",), ("message",), ("detail",))


def request_body(
    model: str, messages: Sequence[Message], sampling: Sampling, can: frozenset[Ability]
) -> dict[str, Any]:
    """Return the JSON of a request.

    Raises:
        Invalid: It would need an ability that is not in `can`.
    """
    if missing := sorted(needed(messages, sampling) - can):
        raise Invalid(f"the endpoint can not: {', '.join(missing)}")
    body: dict[str, Any] = {
        "model": model,
        "messages": list(messages[:-1] if _ends_empty(messages) else messages),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.keep_stop:
        body["include_stop_str_in_output"] = True
    if sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    if _is_continued(messages):
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body | _grammar(sampling)


def needed(messages: Sequence[Message], sampling: Sampling) -> set[Ability]:
    """Return the abilities that a call takes."""
    asked: Mapping[Ability, bool] = {
        "prefix": _is_continued(messages),
        "regex": sampling.regex is not None,
        "choice": sampling.choice is not None,
        "json": sampling.json_schema is not None,
        "logprobs": sampling.logprobs is not None,
        "keep_stop": sampling.keep_stop,
    }
    return {ability for ability, wanted in asked.items() if wanted}


def _is_continued(messages: Sequence[Message]) -> bool:
    return messages[-1]["role"] == "assistant" and not _ends_empty(messages)


def _ends_empty(messages: Sequence[Message]) -> bool:
    """Say whether the last turn is an assistant's without text: a new turn, not a continued one."""
    return messages[-1] == Message(role="assistant", content="")


def is_constrained(sampling: Sampling) -> bool:
    """Say whether the whole text has to follow a grammar."""
    asked = (sampling.regex, sampling.choice, sampling.json_schema)
    return any(constraint is not None for constraint in asked)


def _grammar(sampling: Sampling) -> dict[str, Any]:
    if sampling.json_schema is not None:
        schema = {"name": "answer", "schema": json.loads(sampling.json_schema)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if sampling.regex is not None:
        return {"structured_outputs": {"regex": sampling.regex}}
    if sampling.choice is not None:
        return {"structured_outputs": {"choice": list(sampling.choice)}}
    return {}


class _Top(BaseModel):
    token: str
    logprob: float


class _Token(_Top):
    top_logprobs: list[_Top] = []


class Logprobs(BaseModel):
    """The log-probabilities of a choice."""

    content: list[_Token] | None = None

    def by_token(self) -> tuple[dict[str, float], ...] | None:
        """Return one mapping a new token, as `Reply` has them."""
        if self.content is None:
            return None
        return tuple(
            {entry.token: entry.logprob for entry in (*token.top_logprobs, token)}
            for token in self.content
        )


class Text(BaseModel):
    """The turn that was written."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class Choice(BaseModel):
    """One completion."""

    message: Text
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Tokens(BaseModel):
    """The server's own count; some give none, or a part."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Completion(BaseModel):
    """An answer; what is not read here is not looked at."""

    model: str | None = None
    choices: list[Choice]
    usage: Tokens | None = None


def error_message(answer: bytes) -> str | None:
    """Return what an answer without a completion says is wrong, or None.

    It says so in the shape of OpenAI, or in one of those that servers with its protocol have.
    """
    try:
        told = from_json(answer)
    except ValueError:
        return None
    for path in _ERROR_PATHS:
        found = told
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str) and found.strip():
            return found
    return None


def disobeyed(reply: Reply, sampling: Sampling) -> str | None:
    """Return what `reply` does not keep to, or None. A text cut by its length is not judged."""
    if sampling.logprobs is not None and reply.text and not reply.logprobs:
        return "it came without the log-probabilities asked for"
    if reply.finish_reason == "length":
        return None
    if sampling.regex is not None and re.fullmatch(sampling.regex, reply.text) is None:
        return "its text does not match the regular expression asked for"
    if sampling.choice is not None and reply.text not in sampling.choice:
        return "its text is none of the choices given"
    if sampling.json_schema is not None:
        return _schema_fault(reply.text, sampling.json_schema)
    return None


def _schema_fault(text: str, schema: str) -> str | None:
    try:
        _validator(schema).validate(json.loads(text))
    except json.JSONDecodeError:
        return "its text is no JSON"
    except ValidationError as error:
        # Where in the schema, and not the error's own message: that quotes the text.
        where = "/".join(map(str, error.schema_path))
        return f"its text is not of the JSON schema asked for: {where}"
    return None


@lru_cache(maxsize=64)
def _validator(schema: str) -> Validator:
    parsed = json.loads(schema)
    return validator_for(parsed)(parsed)
