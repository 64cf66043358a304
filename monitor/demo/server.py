"""Both far ends behind one real HTTP server on 127.0.0.1, faults included."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import web

from monitor.demo import Answer, Clock, Exchange, Fault, Faults
from monitor.demo.publisher import Publisher
from monitor.demo.stenobird import Replica

# aiohttp takes 0 for "no limit"; handlers have nothing to finish.
_SHUTDOWN_S = 0.01
_EPISODES = "/v1/public/podcasts/{podcast}/episodes"
_EPISODE = f"{_EPISODES}/{{slug}}"
_FLAWLESS = Fault("")


class World:
    """Every publisher, each under its own name, and Stenobird."""

    def __init__(self, *publishers: Publisher, replica: Replica) -> None:
        self.publishers = {publisher.name: publisher for publisher in publishers}
        self.replica = replica


@asynccontextmanager
async def serve(world: World, *, port: int = 0) -> AsyncIterator[str]:
    """Serve *world* and yield its base URL, without a slash at the end; port 0 is any free one."""
    runner = web.AppRunner(
        _app(world), access_log=None, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, bound = runner.addresses[0][:2]
        yield f"http://{host}:{bound}"
    finally:
        await runner.cleanup()


@contextmanager
def serve_in_thread(world: World, *, port: int = 0) -> Iterator[str]:
    """Serve *world* from a thread of its own, for scripts and tests without an event loop."""
    address: Future[str] = Future()
    stop: Future[None] = Future()

    async def run() -> None:
        async with serve(world, port=port) as base_url:
            address.set_result(base_url)
            await asyncio.wrap_future(stop)

    with ThreadPoolExecutor(1, "far-ends") as thread:
        running = thread.submit(asyncio.run, run())
        either: list[Future[Any]] = [running, address]
        wait(either, return_when=FIRST_COMPLETED)
        if running.done():
            running.result()  # raises: the server did not start
        try:
            yield address.result()
        finally:
            stop.set_result(None)
            running.result()


def _app(world: World) -> web.Application:
    ends = _FarEnds(world)
    app = web.Application()
    app.add_routes(
        [
            web.get("/feed/{name}.rss", ends.feed, allow_head=False),
            web.get(_EPISODES, ends.listing, allow_head=False),
            web.get(_EPISODE, ends.resource, allow_head=False),
            web.get("/podcast/{podcast}/{slug}.md", ends.markdown, allow_head=False),
            web.post(f"{_EPISODE}/transcription-requests", ends.request),
            web.route("*", "/{path:.*}", ends.anything_else),
        ]
    )
    return app


@dataclass(frozen=True, slots=True)
class _FarEnd:
    """Where one exchange is to be written down, and what may go wrong with it."""

    clock: Clock
    exchanges: list[Exchange]
    faults: Faults


@dataclass(frozen=True, slots=True)
class _FarEnds:
    """The handlers: from aiohttp's request to a far end's answer."""

    world: World

    async def feed(self, request: web.Request) -> web.StreamResponse:
        publisher = self.world.publishers.get(request.match_info["name"])
        if publisher is None:
            return await self.anything_else(request)
        end = _FarEnd(publisher.clock, publisher.exchanges, publisher.faults)
        return await _exchange(request, end, lambda: publisher.answer(_headers(request)))

    async def listing(self, request: web.Request) -> web.StreamResponse:
        return await self._of_stenobird(
            request,
            lambda: self.world.replica.listing(**request.match_info, origin=_origin(request)),
        )

    async def resource(self, request: web.Request) -> web.StreamResponse:
        return await self._of_stenobird(
            request,
            lambda: self.world.replica.resource(**request.match_info, origin=_origin(request)),
        )

    async def markdown(self, request: web.Request) -> web.StreamResponse:
        return await self._of_stenobird(
            request,
            lambda: self.world.replica.markdown(**request.match_info, origin=_origin(request)),
        )

    async def request(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key")
        return await self._of_stenobird(
            request,
            lambda: self.world.replica.request(
                **request.match_info, key=key, origin=_origin(request)
            ),
        )

    async def anything_else(self, request: web.Request) -> web.StreamResponse:
        return await self._of_stenobird(request, self.world.replica.not_found)

    async def _of_stenobird(
        self, request: web.Request, answer: Callable[[], Answer]
    ) -> web.StreamResponse:
        replica = self.world.replica
        faults = replica.post_faults if request.method == "POST" else replica.get_faults
        return await _exchange(request, _FarEnd(replica.clock, replica.exchanges, faults), answer)


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


async def _exchange(
    request: web.Request, end: _FarEnd, answer: Callable[[], Answer]
) -> web.StreamResponse:
    """Carry a request out, write it down, and answer, each as far as the next fault lets it."""
    body = await request.read()
    fault = end.faults.take() or _FLAWLESS
    true = answer() if fault.carried_out else None
    sent = fault.answer or true
    if fault.part == 0 and fault.ending != "regular":
        sent = None
    end.exchanges.append(
        Exchange(
            at=end.clock(),
            method=request.method,
            path=request.path_qs,
            headers=_headers(request),
            body_sha256=sha256(body).hexdigest(),
            status=sent.status if sent else None,
            fault=fault.name or None,
        )
    )
    await asyncio.sleep(fault.pause_s)
    if sent is None:
        return _end(request, fault)
    return await _send(request, sent, fault)


async def _send(request: web.Request, answer: Answer, fault: Fault) -> web.StreamResponse:
    body = answer.body[: int(len(answer.body) * fault.part)]
    promised = body if fault.ending == "regular" else answer.body
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(promised)
    await response.prepare(request)
    piece_bytes, pause_s = fault.drip or (1 << 16, 0.0)
    for start in range(0, len(body), piece_bytes):
        await response.write(body[start : start + piece_bytes])
        await asyncio.sleep(pause_s)
    if fault.ending != "regular":
        return _end(request, fault, response)
    await response.write_eof()
    return response


def _end(
    request: web.Request, fault: Fault, response: web.StreamResponse | None = None
) -> web.StreamResponse:
    """End the connection: closed after all that was written (FIN), or reset at once (RST)."""
    transport = request.transport
    if transport is None:  # the client was faster
        pass
    elif fault.ending == "closed":
        transport.close()
    else:
        # Without lingering, closing sends RST (man 7 socket, SO_LINGER).
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return response or web.Response()
