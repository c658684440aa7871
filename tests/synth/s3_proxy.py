"""A proxy before an S3 server that makes requests fail, in the ways that networks and stores do."""

import asyncio
import io
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import aiohttp
from aiohttp import web
from yarl import URL

SLOW_DOWN, RESET, HANG, TRUNCATED, LOST = "slow_down", "reset", "hang", "truncated", "lost"
CONFLICT, DENIED = "conflict", "denied"
KINDS = (SLOW_DOWN, RESET, HANG, TRUNCATED, LOST)
_REFUSALS = {
    SLOW_DOWN: (503, "SlowDown"),
    CONFLICT: (409, "ConditionalRequestConflict"),
    DENIED: (403, "AccessDenied"),
}
_HOP_BY_HOP = {"connection", "expect", "host", "keep-alive", "transfer-encoding"}


class FaultProxy:
    """Forwards requests, and makes a share of them fail.

    Attributes:
        share: Of the requests.
        kinds: What may happen to one of those; each draws one.
        seen: Requests by what happened to them; those that went well under `fine`.
        url: Where it listens, once it runs.
    """

    def __init__(self, target: str, share: float, seed: int, kinds: Sequence[str] = KINDS) -> None:
        self.share, self.kinds, self.url = share, kinds, ""
        self.seen: Counter[str] = Counter()
        self._target, self._draw = target, Random(seed)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        kind = self._draw.choice(self.kinds) if self._draw.random() < self.share else "fine"
        self.seen[kind] += 1
        body = await request.read()
        if kind in _REFUSALS:
            status, code = _REFUSALS[kind]
            text = f"<Error><Code>{code}</Code><Message>as asked</Message></Error>"
            return web.Response(status=status, text=text, content_type="application/xml")
        if kind == HANG:
            await asyncio.sleep(3600)  # the client gives up, which cancels this
        if kind == RESET:
            return _cut(request)
        async with self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            data=io.BytesIO(body),
            headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP},
        ) as answer:
            data = await answer.read()
        if kind == LOST:
            return _cut(request)
        response = web.StreamResponse(status=answer.status, headers=_kept(answer, data, request))
        await response.prepare(request)
        await response.write(data[: len(data) // 2] if kind == TRUNCATED else data)
        if kind == TRUNCATED:
            return _cut(request, gently=True)
        await response.write_eof()
        return response

    async def start(self) -> web.AppRunner:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return runner

    async def stop(self, runner: web.AppRunner) -> None:
        await self._session.close()
        await runner.cleanup()


def _kept(answer: aiohttp.ClientResponse, data: bytes, request: web.Request) -> dict[str, str]:
    headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
    if request.method != "HEAD":
        headers["Content-Length"] = str(len(data))
    return headers


def _cut(request: web.Request, *, gently: bool = False) -> web.StreamResponse:
    """End the connection: at once with a reset, or after what has been written."""
    if (transport := request.transport) is not None:
        transport.close() if gently else transport.abort()
    return web.Response()


@contextmanager
def running(proxy: FaultProxy) -> Iterator[FaultProxy]:
    """Run `proxy` in a thread for as long as the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(proxy.start(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(runner), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
