"""A TCP proxy before PostgreSQL that can be told to misbehave, as Toxiproxy can.

It knows one thing of the protocol: how a COMMIT looks on its way to the server. So it can cut a
connection before the server hears of it, or after the server has done it and before anybody is told.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # a simple query, as psycopg sends it
PIECE_BYTES = 1 << 16


class Cut(Enum):
    BEFORE = "cut before COMMIT"  # the server never hears of it: rolled back
    AFTER = "cut after COMMIT"  # the server has done it, and its answer is thrown away


class Proxy:
    """Passes everything on until told otherwise; may be told from any thread."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream  # the server's socket
        self.port = 0
        self.cuts = 0  # that were made
        self.latency_s = 0.0  # of every piece, either way
        self.is_down = False
        self.links: set[_Link] = set()
        self._next_cut: tuple[int, Cut] | None = None  # after so many more COMMITs
        self._passing = asyncio.Event()  # not set: nothing gets through, and nobody is told
        self._passing.set()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    # --- from any thread

    def cut(self, how: Cut, commits: int = 1) -> None:
        """Cut the connection at the so-manyth COMMIT from now."""
        self._do(lambda: setattr(self, "_next_cut", (commits, how)))

    def down(self) -> None:
        """End every connection, and let none be made."""
        self._do(self._end_all)

    def up(self) -> None:
        self._do(lambda: setattr(self, "is_down", False))

    def blackhole(self) -> None:
        """Let nothing through, while every connection stays open and new ones are taken."""
        self._do(self._passing.clear)

    def heal(self) -> None:
        """Let through what has waited, and all that follows."""
        self._do(self._passing.set)

    def stop(self) -> None:
        self._do(self._stop.set)

    def _do(self, action: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(action)

    # --- in the loop

    def _end_all(self) -> None:
        self.is_down = True
        for link in tuple(self.links):
            link.abort()

    async def serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set_result(None)
        await self._stop.wait()
        server.close()
        self._passing.set()
        self._end_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_unix_connection(self.upstream)
        except OSError:  # it is not there: nor are we
            writer.transport.abort()
            return
        await _Link(self, (reader, writer), server).run()

    async def let_through(self) -> None:
        """Return when a piece may go on."""
        await asyncio.sleep(self.latency_s)
        await self._passing.wait()

    def due(self, piece: bytes) -> Cut | None:
        """Return how to cut at this piece of a client's, if it is the one."""
        if self._next_cut is None or COMMIT not in piece:
            return None
        commits, how = self._next_cut
        self._next_cut = (commits - 1, how) if commits > 1 else None
        return None if self._next_cut else how


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection, and ours to the server for it."""

    def __init__(self, proxy: Proxy, client: Streams, server: Streams) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_doomed = False  # the server's next word is not passed on

    async def run(self) -> None:
        self._proxy.links.add(self)
        await asyncio.gather(self._to_server(), self._to_client(), return_exceptions=True)
        self._proxy.links.discard(self)

    async def _to_server(self) -> None:
        try:
            while piece := await self._client[0].read(PIECE_BYTES):
                await self._proxy.let_through()
                how = self._proxy.due(piece)
                if how is Cut.BEFORE:
                    self._cut()
                    break
                self._is_doomed = how is Cut.AFTER
                self._server[1].write(piece)
                await self._server[1].drain()
        finally:
            self._server[1].close()

    async def _to_client(self) -> None:
        try:
            while piece := await self._server[0].read(PIECE_BYTES):
                await self._proxy.let_through()
                if self._is_doomed:
                    self._cut()
                    break
                self._client[1].write(piece)
                await self._client[1].drain()
        finally:
            self._client[1].close()

    def _cut(self) -> None:
        self._proxy.cuts += 1
        self.abort()

    def abort(self) -> None:
        """End both connections at once."""
        for _, writer in (self._client, self._server):
            writer.transport.abort()


@contextmanager
def proxied(upstream: Path) -> Iterator[Proxy]:
    """Run a proxy before a server's socket, in a thread of its own."""
    proxy, started = Proxy(upstream), Future[None]()
    with ThreadPoolExecutor(1, "proxy") as thread:
        running = thread.submit(asyncio.run, proxy.serve(started))
        started.result(10)
        try:
            yield proxy
        finally:
            proxy.stop()
            running.result()
