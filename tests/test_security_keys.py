"""A key is told to nobody but its server, whatever that server makes of it."""

import asyncio
import html
import json
import re
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from synth import storage
from synth.chat import ChatSpec, Message, Sampling
from synth.chat.endpoint import EndpointChat
from synth.config.schema import EndpointConfig, StorageConfig
from synth.errors import BadInput, GuideweaveError, RunFault
from synth.workspace.workspace import Workspace
from tests.commands import Cli, Ended
from tests.gossip import PROMPTS, gossiping
from tests.leaks import SPELLINGS, VISIBLE, WHOLE, chains, leaked, spelled

KEY = "sk-Qz7/7vRzkZx+Zq0wVy==x<&%2Fq8"
KEYS = st.text(VISIBLE, min_size=16, max_size=40)
S3_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
STATUSES = (200, 302, 400, 401, 402, 403, 404, 405, 408, 413, 422, 429, 500, 503, 529)

Answer = Callable[[int, str], web.Response]
"""From a status and what the server says of a key to what it answers."""


def _json(content: object) -> Answer:
    def answer(status: int, said: str) -> web.Response:
        filled = json.dumps(content).replace("SAID", json.dumps(said)[1:-1])
        return web.Response(status=status, text=filled, content_type="application/json")

    return answer


def _text(form: str) -> Answer:
    return lambda status, said: web.Response(status=status, text=form.replace("SAID", said))


def _headers(status: int, said: str) -> web.Response:
    headers = {"X-Echo": said, "Location": said, "Retry-After": said, "Set-Cookie": f"{said}=1"}
    return web.Response(status=status, reason=said, text=said, headers=headers)


def _completed(**own: object) -> Answer:
    message = {"content": own.pop("content", "Hello.")}
    choice = {"message": message, "finish_reason": own.pop("finish_reason", "stop")}
    return _json({"choices": [choice], **own})


ANSWERS: Mapping[str, Answer] = {
    "openai": _json({"error": {"message": "Incorrect API key provided: SAID. See the docs."}}),
    "openai, unescaped": _text('{"error": {"message": "bad key SAID", "code": "SAID"}}'),
    "error": _json({"error": "crashed while serving 'SAID'"}),
    "message": _json({"object": "error", "message": "no (SAID)"}),
    "detail": _json({"detail": "no:SAID"}),
    "details": _json({"detail": [{"msg": "SAID", "loc": ["header"]}]}),
    "nested": _json({"error": {"message": json.dumps({"error": {"message": "key=SAID"}})}}),
    "list": _json([{"error": {"message": "SAID"}}]),
    "number": _json(1),
    "text": _text("no, not with SAID"),
    "page": _text("<html><title>SAID</title><body>SAID</body></html>"),
    "headers": _headers,
    "model": _completed(model="SAID"),
    "end": _completed(finish_reason="SAID"),
}


async def ask(
    key: str, answer: Callable[[web.Request], web.StreamResponse], sampling: Sampling
) -> str:
    """Ask a server once; return all that a log would keep of its answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        return answer(request)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    async with TestServer(app) as server:
        base_url = str(server.make_url("/v1"))
        endpoint = EndpointConfig(base_url=base_url, model="m", api_key_env="GW_TEST_KEY")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GW_TEST_KEY", key)
            chat = EndpointChat(
                ChatSpec(kind="endpoint", model_id="m", endpoint=endpoint, call_timeout_s=5)
            )
        try:
            told = repr(await chat([Message(role="user", content="Hi")], sampling))
        except GuideweaveError as fault:
            told = "".join(traceback.format_exception(fault, limit=0))
        finally:
            await chat.aclose()
    return told.replace(base_url, "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(KEYS, chains(), st.sampled_from(sorted(ANSWERS)), st.sampled_from(STATUSES))
def test_no_answer_tells_a_key(
    caplog: pytest.LogCaptureFixture, key: str, ways: list[str], shape: str, status: int
) -> None:
    def answered(said: str) -> str:
        return asyncio.run(ask(key, lambda _: ANSWERS[shape](status, said), Sampling()))

    assume(leaked(answered(""), key) is None)  # words of our own may be pieces of a key drawn
    caplog.clear()
    assert leaked(answered(spelled(key, ways)) + caplog.text, key) is None


@settings(max_examples=100)
@given(KEYS, st.sampled_from(sorted(WHOLE)))
def test_no_completion_tells_a_key(key: str, way: str) -> None:
    said = f"The key {SPELLINGS[way](key)} is not known."
    told = asyncio.run(ask(key, lambda _: _completed(content=said)(200, ""), Sampling()))
    assert told == "synth.errors.RowFault: the reply of /chat/completions repeats the key\n"


@pytest.mark.parametrize("way", SPELLINGS)
def test_a_reply_that_disobeys_is_not_told(way: str) -> None:
    schema = json.dumps({"type": "object", "additionalProperties": False})
    said = json.dumps({SPELLINGS[way](KEY): SPELLINGS[way](KEY)})
    sampling = Sampling(json_schema=schema)
    told = asyncio.run(ask(KEY, lambda _: _completed(content=said)(200, ""), sampling))
    assert leaked(told, KEY) is None


@pytest.mark.parametrize(
    "raw",
    [
        "HTTP/1.1 {said}\r\n\r\n",
        "{said}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Echo {said}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: {said}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 90\r\n\r\n{said}",
        "HTTP/1.1 200 OK\r\nSet-Cookie: {said}=1; {said}\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_broken_answer_tells_no_key(raw: str, caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(raw.replace("{said}", KEY).encode())
        request.transport.close()
        return web.Response()

    told = asyncio.run(ask(KEY, answer, Sampling()))
    assert leaked(told + caplog.text, KEY) is None


def test_what_is_no_secret_is_told() -> None:
    """Of a message all is shown but what may be of the key; of a page its length."""
    message = _json({"error": {"message": "No model `org/big-1` here,\n for SAID or a fee of 5%."}})
    told = asyncio.run(ask(KEY, lambda _: message(400, KEY), Sampling()))
    assert "400: No model `org/big-1` here, for [key] or a fee of 5%." in told
    page = _text("<html>a gateway's own page</html>")
    told = asyncio.run(ask(KEY, lambda _: page(502, KEY), Sampling()))
    assert "gateway" not in told
    assert "502: 33 bytes without a message" in told


def write_config(folder: Path, base_url: str, **limits: object) -> Path:
    seeds = [{"prompt": prompt, "label": "benign"} for prompt in PROMPTS]
    (folder / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    endpoint = {"base_url": base_url, "model": "m", "api_key_env": "GW_TEST_KEY"}
    config = {
        "run": str(folder / "run"),
        "recipe": "refusal",
        "samples": 1,
        "seeds": {"path": str(folder / "seeds.jsonl"), "eval_share": 0.0},
        "teacher": {"endpoint": endpoint},
        "limits": {"workers": 0, "pool_deadline_s": 30, **limits},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def left_by(ended: Ended, run: Path) -> str:
    """Return all that a command has said and written, but for the server's address."""
    files = [
        path.read_text() for path in run.rglob("*") if path.suffix in (".log", ".json", ".yaml")
    ]
    rows = str(Workspace(str(run)).traces().to_pylist())
    return re.sub(r"127.0.0.1:\d+", "", "\n".join([ended.out, ended.err, *files, rows]))


def test_a_run_tells_no_key(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GW_TEST_KEY", KEY)
    with gossiping() as server:
        ended = cli("synthesize", write_config(tmp_path, server.url), "--verbose")
    assert server.keys_seen == {KEY}
    assert ended.code == 3, ended.err
    rows = Workspace(str(tmp_path / "run")).traces()["outcome"].to_pylist()
    assert Counter(rows) == {"ok": 3 * len(SPELLINGS) + 3, "failed": len(SPELLINGS) + len(WHOLE)}
    assert leaked(left_by(ended, tmp_path / "run"), KEY) is None


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
def test_a_run_that_is_refused_tells_no_key(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("GW_TEST_KEY", KEY)
    monkeypatch.setattr("synth.checks.deep.ENDPOINT_S", 0.3)
    with gossiping(refuses=status) as server:
        config = write_config(tmp_path, server.url, pool_deadline_s=0.3)
        ended = cli("synthesize", config, "--verbose")
    assert ended.code in (1, 2), ended.err
    last = ended.err.splitlines()[-1]
    assert f": {status}: " in last or "must answer" in last
    assert leaked(left_by(ended, tmp_path / "run"), KEY) is None


@pytest.mark.parametrize("way", ["plain", "masked", "html"])
def test_a_server_that_lacks_an_ability_tells_no_key(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("GW_TEST_KEY", KEY)
    monkeypatch.setattr("tests.gossip.ANSWER", SPELLINGS[way](KEY))
    with gossiping() as server:
        config = write_config(tmp_path, server.url)
        ended = cli("synthesize", config, "--set", "teacher.endpoint.can=[prefix, keep_stop]")
    assert ended.code == 2
    assert leaked(left_by(ended, tmp_path / "run"), KEY) is None


class Store(BaseHTTPRequestHandler):
    """A store that answers what its class says."""

    status, body = 403, ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("status", [200, 400, 403, 503])
@pytest.mark.parametrize(
    "form", ["<Error><Code>{0}</Code><Message>no {0}</Message></Error>", "{0}"]
)
def test_a_store_tells_no_credentials(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, form: str
) -> None:
    for name in S3_VARIABLES:
        monkeypatch.setenv(name, KEY)
    said = " ".join(html.escape(spelling(KEY)) for spelling in SPELLINGS.values())
    monkeypatch.setattr(Store, "status", status)
    monkeypatch.setattr(Store, "body", form.format(said))
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        storage.use(StorageConfig(endpoint_url=url, region="x", deadline_s=0.5, timeout_s=5))
        with pytest.raises((BadInput, RunFault)) as caught:
            storage.list_files("s3://bucket/run")
        storage.use(StorageConfig())
        server.shutdown()
    told = "".join(traceback.format_exception(caught.value, limit=0))
    assert leaked(told + caplog.text, KEY) is None
