"""The far end of the adapters' tests: a real server on loopback that can break at the wire."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import httpx

Play = Callable[[asyncio.StreamWriter], Awaitable[None]]  # what happens after a request was read


@dataclass(frozen=True, slots=True)
class Heard:
    """One request, as it stood on the wire."""

    head: bytes

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def fields(self) -> httpx.Headers:
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        pairs = (line.partition(": ") for line in lines)
        return httpx.Headers([(name, value) for name, _, value in pairs])


class Taking:
    """A receiver that only takes."""

    def __init__(self, take: Callable[[bytes], bool]) -> None:
        self.take = take

    def begin(self, _coding: str) -> None:
        return None

    def keep(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...


def reply(status: int = 200, body: bytes = b"", **fields: str) -> bytes:
    """Return an answer with its Content-Length; ``_`` in a field's name stands for ``-``."""
    named = {"Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode("latin-1") + body


def moved(to: str, status: int = 302) -> bytes:
    return reply(status, Location=to)


def cut_short(answer: bytes) -> Play:
    """Send *answer* and close, whatever it promised."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return play


async def reset(writer: asyncio.StreamWriter) -> None:
    """Tear the connection down with a RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def endless(start: bytes, piece: bytes, pause_s: float = 0.0) -> Play:
    """Send *start*, then *piece* for ever."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return play


@dataclass(slots=True)
class FarEnd:
    """Answers each path as a test laid down, and keeps what it heard."""

    port: int = 0
    host: str = "127.0.0.1"
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0  # ever made
    open: int = 0  # now
    busy: int = 0  # requests under way
    most_busy: int = 0
    _plays: dict[str, list[Play | bytes]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return self.origin + path

    def on(self, path: str, *plays: Play | bytes) -> Self:
        """Answer *path* with *plays* in turn, and with the last of them from then on."""
        self._plays[path] = list(plays)
        return self

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while not writer.is_closing():
                await self._answer(await reader.readuntil(b"\r\n\r\n"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the near end has gone
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        heard = Heard(head)
        self.heard.append(heard)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            plays = self._plays[heard.line.split(" ")[1]]
            play = plays.pop(0) if len(plays) > 1 else plays[0]
            if isinstance(play, bytes):
                writer.write(play)
                await writer.drain()
            else:
                await play(writer)
        finally:
            self.busy -= 1


@asynccontextmanager
async def far_end(host: str = "127.0.0.1") -> AsyncIterator[FarEnd]:
    """Serve on a free port of *host* until the end of the block."""
    end = FarEnd(host=host)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await end.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over; asyncio would report it as an error
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, 0)
    end.port = server.sockets[0].getsockname()[1]
    try:
        yield end
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def until(holds: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Wait for a condition; fail if it never comes."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - the kernel and the engine set no Event of ours
            await asyncio.sleep(0.005)
