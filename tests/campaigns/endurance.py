"""Endurance: months of polls in compressed time, after which nothing has grown.

The dispatcher, the jobs, the HTTP and the database file are the daemon's; the far end is a process
of its own, so that what is counted is ours alone. Nothing is published meanwhile: answers of 304,
the same bytes, other bytes with the same items, and one poll in nine that fails, each in its own
way. So whatever grows is a leak. The clock is turned by hand, and is always ahead of the work.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from monitor.adapters.http import Http
from monitor.adapters.reach import reaches
from monitor.adapters.store import migrate, polls
from monitor.adapters.store.database import Database, connect
from monitor.core.model import LogEvent
from monitor.demo import ManualClock
from monitor.dispatch import CAPACITY, Dispatcher
from monitor.jobs.context import Context, Podcast
from monitor.jobs.outage import Outage
from monitor.jobs.uplink import Uplink
from tests.campaigns.figures import Figures, Violation
from tests.living import LIMITS, POLLING, REQUESTS, START, Life

FEEDS = 400  # each at an origin of its own: all of 127.0.0.0/8 is this machine
STEP = timedelta(minutes=5)
SAMPLES = 15  # in a run, the first fifth of which warms up
DEADLINE = timedelta(seconds=1)
MIB = 1 << 20
MOST_BYTES = MIB  # of growth of the resident memory in 100,000 polls
NOISE = {  # whatever the length of a run
    "rss_bytes": 2
    * MIB,  # the allocator's: it grew by half of one in 32,000 polls, the blocks not at all
    "blocks": 1_500,
    "descriptors": 16,  # of connections that are made anew just now
    "database_bytes": 128 * 1024,  # of rows that found no room in their pages
}
PAGE = resource.getpagesize()


# --- the far end -------------------------------------------------------------------------

ITEM = (
    '<item><guid>{0}-{1}</guid><title>Episode {1}</title><enclosure url="https://cdn.example/{0}/{1}'
    '.mp3" type="audio/mpeg"/><pubDate>Thu, 01 Jan 2026 00:00:00 GMT</pubDate></item>'
)
HOW = {  # of a thousand answers
    "not_modified": 700,
    "same": 90,
    "touched": 100,
    "http_503": 50,
    "reset": 25,
    "truncated": 25,
    "hangs": 5,
    "drips": 5,
}
HARMLESS = ("not_modified", "same", "touched")


class FlatWorld(asyncio.Protocol):
    """Answers each feed by chance, but never lets one fail three times in a row."""

    def __init__(
        self,
        chance: Random,
        how: Mapping[str, int],
        edition: Iterator[int],
        failures: Counter[str],
    ) -> None:
        self._chance = chance
        self._how = how
        self._edition = edition
        self._failures = failures

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        path = data.split(b" ", 2)[1].decode()
        if not path.startswith("/feed/"):
            self._say("404 Not Found", b"")
            return
        (how,) = self._chance.choices(tuple(self._how), tuple(self._how.values()))
        if how not in HARMLESS and self._failures[path] == 2:
            how = "same"
        self._failures[path] = 0 if how in HARMLESS else self._failures[path] + 1
        getattr(self, f"_{how}")(path, b"if-none-match" in data.lower())

    def _say(self, status: str, body: bytes, *fields: str, part: float = 1.0) -> None:
        head = "".join(f"{line}\r\n" for line in (*fields, f"Content-Length: {len(body)}"))
        self._transport.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode())
        self._transport.write(body[: int(len(body) * part)])

    def _not_modified(self, path: str, conditional: bool) -> None:
        if conditional:
            self._transport.write(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
        else:
            self._same(path, conditional)

    def _same(self, path: str, _conditional: bool, edition: int = 0, part: float = 1.0) -> None:
        items = "".join(ITEM.format(path, n) for n in range(5))
        built = f"<lastBuildDate>{edition}</lastBuildDate>"
        body = f"<?xml version='1.0'?><rss><channel>{built}{items}</channel></rss>".encode()
        self._say("200 OK", body, 'ETag: "1"', part=part)

    def _touched(self, path: str, conditional: bool) -> None:
        self._same(path, conditional, next(self._edition))

    def _http_503(self, _path: str, _conditional: bool) -> None:
        self._say("503 Busy", b"busy")

    def _reset(self, _path: str, _conditional: bool) -> None:
        self._transport.abort()

    def _truncated(self, path: str, conditional: bool) -> None:
        self._same(path, conditional, part=0.5)
        self._transport.close()

    def _hangs(self, _path: str, _conditional: bool) -> None:
        """Say nothing until the other end has had enough."""

    def _drips(self, path: str, conditional: bool) -> None:
        self._same(path, conditional, part=0.5)  # and never the rest


def _serve(seed: int, how: Mapping[str, int], told: Connection) -> None:
    asyncio.run(_serving(Random(seed), how, told))


async def _serving(chance: Random, how: Mapping[str, int], told: Connection) -> None:
    edition, failures = count(1), Counter[str]()
    server = await asyncio.get_running_loop().create_server(
        lambda: FlatWorld(chance, how, edition, failures), "0.0.0.0", 0, backlog=FEEDS
    )
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@contextmanager
def flat_world(seed: int, how: Mapping[str, int] = HOW) -> Iterator[int]:
    """Serve from a process of its own; give the port, which is open on every loopback address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(seed, how, theirs))
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()
        process.close()
        ours.close()
        theirs.close()


# --- what is counted ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds while nothing is under way."""

    polls: int
    descriptors: int
    threads: int
    tasks: int
    blocks: int  # of memory that Python's objects hold
    rss_bytes: int
    database_bytes: int
    journal_bytes: int


def sample(polls_done: int, database: Path) -> Sample:
    journal = database.with_name(f"{database.name}-journal")
    gc.collect()
    return Sample(
        polls_done,
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a count, not paths
        len(os.listdir("/proc/self/task")),  # noqa: PTH208 - likewise
        len(asyncio.all_tasks()),
        sys.getallocatedblocks(),
        int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
        database.stat().st_size,
        journal.stat().st_size if journal.exists() else 0,
    )


def grown(samples: Sequence[Sample]) -> Mapping[str, int]:
    """Return by how much each count is larger at the end than after the warm-up.

    Of each the middle of three, so that a connection that is just being closed is no leak. Of tasks
    and journal the most that was ever left, for nothing may be.
    """
    warm = samples[len(samples) // 5 :]
    growth = {
        name: int(_middle(warm[-3:], name) - _middle(warm[:3], name))
        for name in ("descriptors", "threads", "blocks", "rss_bytes", "database_bytes")
    }
    alone = {"tasks": 1, "journal_bytes": 0}  # the one that asks
    return growth | {
        name: max(getattr(each, name) for each in warm) - least for name, least in alone.items()
    }


def _middle(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(getattr(each, name) for each in samples)


def too_much(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield what has grown more than it may."""
    polls_done = samples[-1].polls - samples[len(samples) // 5].polls
    may = NOISE | {"rss_bytes": NOISE["rss_bytes"] + MOST_BYTES * polls_done // 100_000}
    for name, growth in grown(samples).items():
        if growth > may.get(name, 0):
            yield f"{name} grew by {growth:,} in {polls_done:,} polls: {samples[-1]}"


# --- the run -----------------------------------------------------------------------------


class Endurance:
    """The daemon's inside, polling the flat world."""

    def __init__(self, directory: Path, port: int) -> None:
        self.path = directory / "endurance.db"
        self.clock = ManualClock(START)
        self.reasons: Counter[str] = Counter()  # of polls; "" is none
        self.told: list[LogEvent] = []  # what should not be
        base_url = f"http://127.0.0.1:{port}"
        rules = replace(REQUESTS, base_url=base_url)
        self.base_url = base_url
        self.podcasts = {
            f"p{n}": Podcast(
                f"p{n}",
                f"http://127.0.{1 + n // 200}.{1 + n % 200}:{port}/feed/{n}",
                "s",
                {},
                POLLING,
                rules,
            )
            for n in range(FEEDS)
        }

    @property
    def polls(self) -> int:
        return sum(self.reasons.values())

    async def live(self, polls_wanted: int) -> list[Sample]:
        """Poll so often; return what was held in between, at regular distances."""
        samples = []
        with closing(connect(f"sqlite:///{self.path}")) as database:
            migrate.migrate(database)
            async with AsyncExitStack() as stack:
                dispatcher = await self.begin(database, stack)
                for n in range(1, SAMPLES + 1):
                    await self._poll(dispatcher, until=polls_wanted * n // SAMPLES)
                    samples.append(sample(self.polls, self.path))
        return samples

    async def begin(self, database: Database, stack: AsyncExitStack) -> Dispatcher:
        """Do what the daemon does at its start."""
        ctx = await self._context(database, stack)
        named = [(p.name, p.feed, p.slug) for p in self.podcasts.values()]
        await ctx.write(polls.configure, named, self.clock())
        return Dispatcher(ctx, Outage(ctx.now, ctx.emit))

    async def _poll(self, dispatcher: Dispatcher, *, until: int) -> None:
        while self.polls < until:
            self.clock.turn(STEP)
            await dispatcher.start_polls()
            await dispatcher.start_deliveries()
            await dispatcher.start_looks()
            while len(running := dispatcher.running()) > CAPACITY["poll"] // 2:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        await dispatcher.join()
        await asyncio.sleep(0)  # for those who note that it has ended

    async def _context(self, database: Database, stack: AsyncExitStack) -> Context:
        """Return a life's context, for all these podcasts."""
        http = await stack.enter_async_context(
            Http(
                user_agent="endurance",
                deadline=DEADLINE,
                per_host_interval=timedelta(),
                allow_private=True,
            )
        )
        life = Life(new=0)
        life.clock, life.base_url = self.clock, self.base_url
        return replace(
            life._context(database, http, stack),
            podcasts=self.podcasts,
            limits=replace(LIMITS, lease_for=timedelta(days=1)),  # the clock runs ahead of the work
            emit=self._tell,
            uplink=Uplink(
                [podcast.feed for podcast in self.podcasts.values()],
                partial(reaches, allow_private=True),
            ),
        )

    def _tell(self, event: LogEvent, _at: datetime) -> None:
        if event.name == "feed.polled":
            self.reasons[str(event.fields["reason"] or "")] += 1
        else:
            self.told.append(event)


def endure(polls_wanted: int, seed: int) -> tuple[Endurance, list[Sample]]:
    """Live through so many polls; return what was polled and what was held."""
    with TemporaryDirectory() as directory, flat_world(seed) as port:
        endurance = Endurance(Path(directory), port)
        return endurance, asyncio.run(endurance.live(polls_wanted))


def run(polls_wanted: int, seed: int) -> Figures:
    """Live through so many polls, and say what has grown."""
    began = time.monotonic()
    endurance, samples = endure(polls_wanted, seed)
    wrong = [*too_much(samples), *map(str, endurance.told)]
    faults: dict[str, Any] = {
        reason: times for reason, times in sorted(endurance.reasons.items()) if reason
    }
    return Figures(
        "endurance",
        endurance.polls,
        "polls",
        faults,
        [Violation("endurance", seed, what) for what in wrong],
        time.monotonic() - began,
    )
