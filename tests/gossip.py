"""A model server that repeats the key it is shown in all it says, each time in another spelling."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.leaks import SPELLINGS, WHOLE

KINDS = ("plain", "rejected", "crashes", "breaks", "answers")
PROMPTS = [f"{kind}: {way}" for kind in KINDS for way in SPELLINGS]
ANSWER = "I can help with that: here is a plain and friendly answer of a few words."


class Gossip(ThreadingHTTPServer):
    """The server.

    A prompt of `PROMPTS` says what it meets: an answer; a rejection; one crash, and one answer
    without a completion, before an answer; or a completion that holds the key.

    Attributes:
        refuses: Status of every answer, where all are refused.
        keys_seen: Of all requests, as they came.
    """

    daemon_threads = True

    def __init__(self, refuses: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses = refuses
        self.keys_seen: set[str] = set()
        self.failed_once: set[str] = set()

    @property
    def url(self) -> str:
        """Its address, up to `/v1`."""
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def gossiping(refuses: int | None = None) -> Iterator[Gossip]:
    """Serve from a thread of this process."""
    with Gossip(refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Gossip), "it serves nothing else"
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        server.keys_seen.add(key)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        if server.refuses is not None:
            said = " ".join(spelling(key) for spelling in SPELLINGS.values())
            return self._complain(server.refuses, said)
        kind, _, way = next((p for p in PROMPTS if p in asked), "plain: plain").partition(": ")
        said = SPELLINGS[way](key)
        first = asked not in server.failed_once
        server.failed_once.add(asked)
        if kind == "rejected":
            self._complain(400, said)
        elif kind == "crashes" and first:
            self._complain(500, said)
        elif kind == "breaks" and first:
            self._say(200, {"said": said}, said)
        elif kind == "answers" and way in WHOLE:
            self._complete(body, f"{ANSWER} {said}")
        else:
            self._complete(body, ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _complain(self, status: int, said: str) -> None:
        self._say(status, {"error": {"message": f"Incorrect API key provided: {said}."}}, said)

    def _complete(self, body: dict[str, Any], text: str) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
        done = {**choice, "finish_reason": "stop"}
        self._say(200, {"id": "1", "model": body["model"], "choices": [done], "usage": usage}, "")

    def _say(self, status: int, content: dict[str, Any], said: str) -> None:
        data = json.dumps(content).encode()
        self.send_response(status, said)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Echo", said)
        self.end_headers()
        self.wfile.write(data)
