"""The mock server of the endpoint bench: `python -m tests.bench.endpoint_server PORT MEAN_S`.

It speaks just enough HTTP/1.1 to cost little beside what is measured: a POST is a completion
after a log-normal time seeded by the prompt, `GET /stats` says what came so far, and `GET
/reset` forgets it.
"""

import asyncio
import json
import signal
import sys
from collections import Counter

from tests.bench.endpoint_load import MODEL, latency_s

_TEXT = "It is about a thing that people ask; it matters since the answer helps them decide. " * 2
_ANSWER = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 0,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": _TEXT},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 24, "completion_tokens": 38, "total_tokens": 62},
}
_END_OF_HEAD = b"\r\n\r\n"


class Book:
    """What came so far."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered = self.inside = self.most_inside = 0

    def stats(self) -> dict[str, int]:
        """Return the numbers; `repeated` counts requests beyond the first of a prompt."""
        asked = self.asked.total()
        return {
            "asked": asked,
            "repeated": asked - len(self.asked),
            "answered": self.answered,
            "inside": self.inside,
            "most_inside": self.most_inside,
        }


class Connection(asyncio.Protocol):
    """One connection: requests come one after the other, as HTTP/1.1 without pipelining has it."""

    book = Book()

    def __init__(self, mean_s: float) -> None:
        self._mean_s = mean_s
        self._read = b""
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._due.cancel()
            self.book.inside -= 1

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(_END_OF_HEAD)
        if not found or len(body) < _length(head):
            return
        self._read = b""
        if head.startswith(b"POST"):
            self._ask(json.loads(body)["messages"][-1]["content"])
        elif head.startswith(b"GET /reset"):
            Connection.book = Book()
            self._write({})
        else:
            self._write(self.book.stats())

    def _ask(self, text: str) -> None:
        book = self.book
        book.asked[text] += 1
        book.inside += 1
        book.most_inside = max(book.inside, book.most_inside)
        loop = asyncio.get_running_loop()
        self._due = loop.call_later(latency_s(text, self._mean_s), self._answer)

    def _answer(self) -> None:
        self._due = None
        self.book.inside -= 1
        self.book.answered += 1
        self._write(_ANSWER)

    def _write(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(head.encode() + _END_OF_HEAD + body)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(port: int, mean_s: float) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Connection(mean_s), "127.0.0.1", port, backlog=1024)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
