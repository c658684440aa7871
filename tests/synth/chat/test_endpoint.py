import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from guidelines import BadInput
from synth.chat import ChatSpec
from synth.chat.connect import connect
from synth.chat.endpoint import EndpointChat
from synth.config.schema import EndpointConfig, FamilyConfig, Limits, ModelConfig
from synth.errors import CapacityFault, Invalid, PoolFault, Refused, RowFault
from synth.pools.layout import plan_pools
from synth.records import ABILITIES, Ability, Message, Sampling
from tests.synth.fault_server import FaultServer, running

ASK = [Message(role="user", content="Hi")]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(**message: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"content": "Hello.", **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


@asynccontextmanager
async def serving(
    handler: Handler,
    *,
    can: frozenset[Ability] = ABILITIES,
    model: str = "big",
    api_key_env: str | None = None,
    timeout_s: float = 20,
) -> AsyncIterator[EndpointChat]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app) as server:
        config = EndpointConfig(
            base_url=str(server.make_url("/v1/")), model=model, api_key_env=api_key_env
        )
        chat = connect(
            ChatSpec(
                kind="endpoint",
                model_id="big",
                endpoint=config,
                can=can,
                call_timeout_s=timeout_s,
            )
        )
        assert isinstance(chat, EndpointChat)
        try:
            yield chat
        finally:
            await chat.aclose()


def answering(*answers: web.Response | dict[str, Any]) -> tuple[Handler, list[dict[str, Any]]]:
    """Answer in turn, the last one for ever; return the requests that came, too."""
    requests: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append({"body": await request.json(), "headers": dict(request.headers)})
        answer = answers[min(len(requests), len(answers)) - 1]
        if isinstance(answer, dict):
            return web.json_response(answer)
        return web.Response(status=answer.status, text=answer.text, headers=answer.headers)

    return handler, requests


def refusing(status: int, text: str = "no", **headers: str) -> web.Response:
    return web.Response(status=status, text=text, headers=headers)


async def test_a_completion_becomes_a_reply() -> None:
    handler, requests = answering(completion(reasoning_content="They greet."))
    async with serving(handler) as chat:
        reply = await chat(ASK, Sampling(temperature=0.5, max_tokens=9, stop=("\n",)))
    assert (reply.text, reply.reasoning) == ("Hello.", "They greet.")
    assert (reply.prompt_tokens, reply.output_tokens) == (7, 3)
    assert requests[0]["body"] == {
        "model": "big",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "top_p": 1.0,
        "max_tokens": 9,
        "stop": ["\n"],
    }


async def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "hidden")
    handler, requests = answering(completion())
    async with serving(handler, api_key_env="SOME_KEY") as chat:
        await chat(ASK, Sampling())
    assert requests[0]["headers"]["Authorization"] == "Bearer hidden"


def test_a_missing_key_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    config = EndpointConfig(base_url="http://host/v1", model="big", api_key_env="SOME_KEY")
    with pytest.raises(BadInput, match="SOME_KEY"):
        connect(ChatSpec(kind="endpoint", model_id="big", endpoint=config))


async def test_abilities_are_asked_for_in_the_servers_words() -> None:
    regex_answer = completion(content="aa")
    top = [{"token": "aa", "logprob": -0.1}]
    regex_answer["choices"][0]["logprobs"] = {"content": top}
    answers = (regex_answer, completion(content="a"), completion(content="{}"), completion())
    handler, requests = answering(*answers)
    schema = json.dumps({"type": "object"})
    async with serving(handler) as chat:
        await chat(ASK, Sampling(regex="a+", keep_stop=True, logprobs=2, top_k=5))
        await chat(ASK, Sampling(choice=("a", "b")))
        await chat(ASK, Sampling(json_schema=schema))
        await chat([*ASK, Message(role="assistant", content="He")], Sampling())
    regex, choice, as_json, prefix = (request["body"] for request in requests)
    assert regex["structured_outputs"] == {"regex": "a+"}
    assert regex["include_stop_str_in_output"]
    assert (regex["logprobs"], regex["top_logprobs"], regex["top_k"]) == (True, 2, 5)
    assert choice["structured_outputs"] == {"choice": ["a", "b"]}
    assert as_json["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (prefix["continue_final_message"], prefix["add_generation_prompt"]) == (True, False)


async def test_what_the_server_can_not_is_never_sent() -> None:
    handler, requests = answering(completion())
    async with serving(handler, can=frozenset()) as chat:
        with pytest.raises(Invalid, match="can not: logprobs, regex"):
            await chat(ASK, Sampling(regex="a+", logprobs=1))
    assert requests == []


async def test_reasoning_in_the_text_is_taken_apart_but_not_out_of_a_grammar() -> None:
    text = "<think>\nwhy\n</think>\n\nSo."
    handler, _ = answering(completion(content=text))
    async with serving(handler) as chat:
        free = await chat(ASK, Sampling())
        bound = await chat(ASK, Sampling(regex="(?s).*"))
    assert (free.reasoning, free.text) == ("why", "So.")
    assert (bound.reasoning, bound.text) == ("", text)


OWN_MARKS = FamilyConfig(think_open="[t]", think_close="[/t]")


@pytest.mark.parametrize(
    ("family", "text", "message", "reasoning", "answer"),
    [
        # A server of a name that tells nothing, and what the configuration says of it.
        (None, "why</think>So.", {}, "", "why</think>So."),
        ("deepseek-r1", "why</think>So.", {}, "why", "So."),
        ("qwen3", "<think>why</think>So.", {}, "why", "So."),
        (OWN_MARKS, "[t]why[/t]So.", {}, "why", "So."),
        (OWN_MARKS, "<think>why</think>So.", {}, "", "<think>why</think>So."),
        # What the server takes apart itself is left so.
        ("qwen3", "<think>So.", {"reasoning": "why"}, "why", "<think>So."),
        ("deepseek-r1", "So.", {"reasoning_content": "why"}, "why", "So."),
        ("deepseek-r1", "So.", {"reasoning_content": ""}, "", "So."),
        ("deepseek-r1", "why</think>So.", {"reasoning_content": None}, "why", "So."),
    ],
)
async def test_the_familys_marks_are_those_of_the_configuration(
    family: str | FamilyConfig | None,
    text: str,
    message: dict[str, Any],
    reasoning: str,
    answer: str,
) -> None:
    server = FaultServer()
    server.text, server.message = text, message
    async with running(server):
        endpoint = EndpointConfig(base_url=server.url, model="big")
        [pool] = plan_pools(
            {"teacher": ModelConfig(endpoint=endpoint, family=family)}, "run", Limits()
        )
        chat = EndpointChat(pool.chats["teacher"])
        reply = await chat(ASK, Sampling())
        await chat.aclose()
    assert (reply.reasoning, reply.text) == (reasoning, answer)


async def test_logprobs_are_read() -> None:
    answer = completion()
    token = {"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Ho", "logprob": -3.0}]}
    answer["choices"][0]["logprobs"] = {"content": [token]}
    handler, _ = answering(answer)
    async with serving(handler) as chat:
        reply = await chat(ASK, Sampling(logprobs=1))
    assert reply.logprobs == ({"Ho": -3.0, "Hi": -0.1},)


async def test_a_refusal_is_told_after_one_request() -> None:
    handler, requests = answering(refusing(429, **{"Retry-After": "7"}))
    async with serving(handler) as chat:
        with pytest.raises(CapacityFault) as caught:
            await chat(ASK, Sampling())
    assert caught.value.retry_after_s == 7
    assert len(requests) == 1


async def test_a_server_that_counts_nothing_is_not_guessed_for() -> None:
    answer = completion()
    del answer["usage"]
    handler, _ = answering(answer)
    async with serving(handler) as chat:
        assert not (await chat(ASK, Sampling())).counted


@pytest.mark.parametrize(
    ("text", "sampling", "fault"),
    [
        ("bbb", Sampling(regex="a+"), "does not match the regular expression"),
        ("c", Sampling(choice=("a", "b")), "none of the choices"),
        ("so be it", Sampling(json_schema='{"type": "object"}'), "is no JSON"),
        ("[]", Sampling(json_schema='{"type": "object"}'), "not of the JSON schema"),
        ("Hello.", Sampling(logprobs=1), "without the log-probabilities"),
    ],
)
async def test_a_reply_that_disobeys_is_no_row(text: str, sampling: Sampling, fault: str) -> None:
    handler, _ = answering(completion(content=text))
    async with serving(handler) as chat:
        with pytest.raises(RowFault, match=fault):
            await chat(ASK, sampling)


async def test_a_reply_cut_by_its_length_is_the_recipes_to_judge() -> None:
    answer = completion(content="bbb")
    answer["choices"][0]["finish_reason"] = "length"
    handler, _ = answering(answer)
    async with serving(handler) as chat:
        assert (await chat(ASK, Sampling(regex="a+"))).finish_reason == "length"


@pytest.mark.parametrize(
    ("asked", "told", "same"),
    [
        ("big", "big", True),
        ("big-4", "big-4-2026-01-31", True),
        ("org/Big", "big", True),
        ("big", "accounts/org/big", True),
        ("big", None, True),
        ("big", "big-mini", False),
        ("big", "small", False),
        ("org/big", "other/big", False),
    ],
)
async def test_another_model_than_the_one_asked_for(
    asked: str, told: str | None, same: bool
) -> None:
    handler, _ = answering({**completion(), "model": told})
    async with serving(handler, model=asked) as chat:
        if same:
            await chat(ASK, Sampling())
        else:
            with pytest.raises(Refused, match="served_as") as caught:
                await chat(ASK, Sampling())
            assert caught.value.field == "model"


@pytest.mark.parametrize("text", ["", "[]", '{"choices": [{}]}', '{"choices": [{"mess', "<html>"])
async def test_an_answer_that_is_no_completion_is_the_pools_fault(text: str) -> None:
    handler, _ = answering(web.Response(text=text))
    async with serving(handler) as chat:
        with pytest.raises(PoolFault, match="no completion"):
            await chat(ASK, Sampling())


async def test_a_silent_server_is_the_pools_fault_within_the_calls_time() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(silent, timeout_s=0.2) as chat:
        with pytest.raises(PoolFault, match="no answer within"):
            await chat(ASK, Sampling())


async def test_no_server_is_the_pools_fault() -> None:
    config = EndpointConfig(base_url="http://127.0.0.1:9/v1", model="big")
    chat = EndpointChat(ChatSpec(kind="endpoint", model_id="big", endpoint=config))
    with pytest.raises(PoolFault, match="127"):
        await chat(ASK, Sampling())
    await chat.aclose()


async def test_a_filtered_text_is_the_rows_fault() -> None:
    answer = completion(content=None)
    answer["choices"][0]["finish_reason"] = "content_filter"
    handler, _ = answering(answer)
    async with serving(handler) as chat:
        with pytest.raises(RowFault, match="content filter"):
            await chat(ASK, Sampling())


async def test_an_answer_without_choices_is_the_pools_fault() -> None:
    handler, _ = answering({"choices": []})
    async with serving(handler) as chat:
        with pytest.raises(PoolFault, match="without choices"):
            await chat(ASK, Sampling())
