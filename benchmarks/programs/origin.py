"""Publishers and Stenobird on loopback, so fast that only their clients are measured.

Every answer is rendered beforehand. Prints its ports; then each line of standard input is a command,
``["verb", argument…]``, and is answered by a line on standard output. Ends with its input.
"""

import asyncio
import gzip
import json
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from benchmarks.documents import KINDS, Feed, Kind

PORTS = 8  # each is an origin of its own to whoever paces requests by origin
CHUNK_BYTES = 65_536  # handed to the kernel at a time
BYTES_ACKED = 120  # of Linux' struct tcp_info, the place of tcpi_bytes_acked
EPISODE = "/v1/public/podcasts/"
JSON = "Content-Type: application/json\r\n"


@dataclass(slots=True)
class Counts:
    """What was asked for and sent since the last ``counts``."""

    connections: int = 0
    sent_bytes: int = 0  # that the other end has acknowledged, headers included
    answers: Counter[str] = field(default_factory=Counter)  # by status


@dataclass(slots=True)
class Page:
    """A feed at its address."""

    feed: Feed
    etag: str = ""
    body: bytes = b""
    gzipped: bytes = b""
    held: bool = False  # whether those who do not know it yet must wait

    def render(self) -> None:
        self.etag = f'"{self.feed.name}-{self.feed.edition}"'
        self.body = self.feed.document()
        self.gzipped = gzip.compress(self.body, 6, mtime=0)


class Site:
    """What is served, and what the commands do to it."""

    def __init__(self, counts: dict[str, int], kinds: dict[str, Kind]) -> None:
        names = [(kind, f"{kind}-{i}") for kind, count in counts.items() for i in range(count)]
        self.pages = {name: Page(Feed(name, kinds[kind])) for kind, name in names}
        for page in self.pages.values():
            page.render()
        self.counted = Counts()
        self.exchanges: set[Exchange] = set()
        self._waiting: list[tuple[Exchange, str, bytes]] = []
        self._released = 0
        self._asked_at: dict[str, float] = {}  # when a feed's newest edition was, by name
        self._posts: dict[str, list[float]] = {}  # seconds from there to each POST, by name

    # --- commands: each returns what is to be answered ------------------------------------

    def touch(self, *names: str) -> None:
        """Make new editions in which only lastBuildDate is another, of all feeds or these."""
        self._renew(Feed.touch, names)

    def publish(self, *names: str) -> None:
        """Make new editions with one more item, of all feeds or these."""
        self._renew(Feed.publish, names)

    def _renew(self, change: Callable[[Feed], None], names: Collection[str]) -> None:
        for name in names or self.pages:
            page = self.pages[name]
            change(page.feed)
            page.render()
            self._asked_at.pop(name, None)

    def hold(self, *names: str) -> None:
        """Let those wait who ask for a feed without validators."""
        for name in names:
            self.pages[name].held = True

    def release(self) -> None:
        """Answer the one who has waited longest."""
        self._released += 1
        exchange, name, head = self._waiting.pop(0)
        exchange.send_feed(self.pages[name], head)

    def open(self) -> None:
        """Let nobody wait any more."""
        for page in self.pages.values():
            page.held = False
        while self._waiting:
            self.release()

    def waiting(self) -> int:
        return len(self._waiting)

    def released(self) -> int:
        return self._released

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return each body's size, as it is and gzipped."""
        return {name: (len(page.body), len(page.gzipped)) for name, page in self.pages.items()}

    def counts(self) -> list[Any]:
        """Return the connections, bytes and answers since the last call."""
        for exchange in self.exchanges:
            exchange.count()
        counted, self.counted = self.counted, Counts()
        return [counted.connections, counted.sent_bytes, counted.answers]

    def posts(self) -> dict[str, list[float]]:
        """Return, by feed, how long after it was asked for each POST came, since the last call."""
        posts, self._posts = self._posts, {}
        return posts

    # --- exchanges ------------------------------------------------------------------------

    def get(self, exchange: "Exchange", name: str, head: bytes) -> None:
        """Answer a GET of a feed, at once or when it is released."""
        page = self.pages[name]
        if f"if-none-match: {page.etag}\r\n".encode() in head.lower():
            exchange.send("304 Not Modified", b"", f"ETag: {page.etag}\r\n")
            return
        self._asked_at.setdefault(name, asyncio.get_running_loop().time())
        if page.held and b"if-none-match" not in head.lower():
            self._waiting.append((exchange, name, head))
        else:
            exchange.send_feed(page, head)

    def stenobird(self, exchange: "Exchange", method: str, path: str) -> None:
        """Show the newest episode of a feed, whatever its slug, or take a request of it."""
        name = path.removeprefix(EPISODE).partition("/")[0]
        if name not in self.pages:
            exchange.send("404 Not Found", b"")
        elif method == "POST":
            took_s = asyncio.get_running_loop().time() - self._asked_at[name]
            self._posts.setdefault(name, []).append(took_s)
            exchange.send("202 Accepted", b'{"status":"queued"}', JSON)
        else:
            exchange.send("200 OK", json.dumps(self.pages[name].feed.newest).encode(), JSON)


class Exchange(asyncio.Protocol):
    """One connection, kept alive: HTTP/1.1 without bodies in the requests."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._received = b""
        self._rest = memoryview(b"")
        self._paused = False
        self._acked_bytes = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        self._site.counted.connections += 1
        self._site.exchanges.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._site.exchanges.discard(self)
        self.count()

    def count(self) -> None:
        """Count what has been sent since the last time: not what still waits in the kernel."""
        info = self._transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8
        )
        [acked_bytes] = struct.unpack_from("Q", info, BYTES_ACKED)
        self._site.counted.sent_bytes += acked_bytes - self._acked_bytes
        self._acked_bytes = acked_bytes

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[: end + 2], self._received[end + 4 :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        path = target.decode().partition("?")[0]
        if path.startswith(EPISODE):
            self._site.stenobird(self, method.decode(), path)
        elif (name := path.strip("/").removesuffix(".rss")) in self._site.pages:
            self._site.get(self, name, head)
        else:
            self.send("404 Not Found", b"")

    def send_feed(self, page: Page, head: bytes) -> None:
        fields = f"ETag: {page.etag}\r\nContent-Type: application/rss+xml\r\n"
        if b"gzip" in head.lower():
            self.send("200 OK", page.gzipped, fields + "Content-Encoding: gzip\r\n")
        else:
            self.send("200 OK", page.body, fields)

    def send(self, status: str, body: bytes, fields: str = "") -> None:
        self._site.counted.answers[status[:3]] += 1
        length = "" if status.startswith("304") else f"Content-Length: {len(body)}\r\n"
        self._transport.write(f"HTTP/1.1 {status}\r\n{fields}{length}\r\n".encode())
        self._rest = memoryview(body)
        self._go_on()

    def _go_on(self) -> None:
        while self._rest and not self._paused and not self._transport.is_closing():
            chunk, self._rest = self._rest[:CHUNK_BYTES], self._rest[CHUNK_BYTES:]
            self._transport.write(chunk)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()


async def main(counts: dict[str, int], items: dict[str, int]) -> None:
    """Serve *counts* feeds of each kind; *items*: how many items, where not as many as usual."""
    kinds = {name: kind.of(items.get(name)) for name, kind in KINDS.items()}
    site = Site(counts, kinds)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: Exchange(site), "127.0.0.1", 0) for _ in range(PORTS)
    ]
    _say([server.sockets[0].getsockname()[1] for server in servers])
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        verb, *names = json.loads(line)
        _say(getattr(site, verb)(*names))


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), json.loads(sys.argv[2])))
