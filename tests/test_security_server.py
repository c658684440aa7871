"""A model's server is not trusted either: what it answers is bounded, and redirects go nowhere."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from synth.chat import ChatSpec
from synth.chat.endpoint import EndpointChat
from synth.config.schema import EndpointConfig
from synth.errors import PoolFault, Refused
from synth.records import Message, Sampling

KEY = "sk-planted-key"
KEYS = web.AppKey("KEYS", list[str | None])


@pytest.fixture
async def elsewhere() -> AsyncIterator[TestServer]:
    """A server that nobody has asked for; it remembers the keys it is shown."""
    app = web.Application()
    app[KEYS] = []

    async def keep(request: web.Request) -> web.Response:
        app[KEYS].append(request.headers.get("Authorization"))
        return web.Response(text="{}")

    app.router.add_route("*", "/{path:.*}", keep)
    server = TestServer(app)
    async with server:
        yield server


@pytest.fixture
async def chat(
    elsewhere: TestServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EndpointChat]:
    sent = count()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["messages"][-1]["content"]
        if asked == "moved":
            return web.Response(status=307, headers={"Location": str(elsewhere.make_url("/v1"))})
        response = web.StreamResponse()
        if asked == "bomb":
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        while next(sent) < 200:
            await response.write(b" " * (1 << 20))
        return response

    app = web.Application(client_max_size=1 << 20)
    app.router.add_post("/v1/chat/completions", answer)
    monkeypatch.setenv("GW_TEST_KEY", KEY)
    async with TestServer(app) as server:
        endpoint = EndpointConfig(
            base_url=str(server.make_url("/v1")), model="m", api_key_env="GW_TEST_KEY"
        )
        chat = EndpointChat(ChatSpec(kind="endpoint", model_id="m", endpoint=endpoint))
        yield chat
        await chat.aclose()


@pytest.mark.parametrize("asked", ["endless", "bomb"])
async def test_an_answer_without_end_is_given_up(chat: EndpointChat, asked: str) -> None:
    with pytest.raises(PoolFault, match="an answer of over 67108864 bytes"):
        await chat([Message(role="user", content=asked)], Sampling())


async def test_a_key_does_not_follow_a_redirect(chat: EndpointChat, elsewhere: TestServer) -> None:
    with pytest.raises(Refused, match="307"):
        await chat([Message(role="user", content="moved")], Sampling())
    assert elsewhere.app[KEYS] == []
