"""Polls that read little: counted at the far end, in the database and in the parser."""

import asyncio
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import feedparser
import pytest
import sqlalchemy as sa

from monitor.adapters.http import Http
from monitor.adapters.sandbox import Sandbox
from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store import migrate, polls
from monitor.adapters.store.database import Database, connect
from monitor.core.schedule import cap
from monitor.demo import ManualClock
from monitor.dispatch import Dispatcher
from monitor.jobs.context import Context, Podcast
from monitor.jobs.outage import Outage
from monitor.jobs.outcomes import Outcomes
from monitor.jobs.uplink import Uplink
from tests.adapters.server import FarEnd, far_end, reply
from tests.living import LIMITS, POLLING, REQUESTS, START

pytestmark = pytest.mark.anyio

CONFIG = """
database = "sqlite:///{directory}/x.db"
log.format = "json"
network.allow_private = true
network.per_host_interval = "1ms"
stenobird.base_url = "http://127.0.0.1:9"
[[podcasts]]
name = "p0"
feed = "{url}/p0"
stenobird = "p0"
"""
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def item(n: int, notes: str = "") -> str:
    date = (START + n * SECOND).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return (
        f"<item><guid>g{n}</guid><title>Episode {n}</title><description>{notes}</description>"
        f"<pubDate>{date}</pubDate>"
        f'<enclosure url="https://cdn.example/{n}.mp3" type="audio/mpeg"/></item>'
    )


def document(*items: str, built: int = 0) -> bytes:
    head = f"<rss><channel><title>T</title><lastBuildDate>{built}</lastBuildDate>"
    return (head + "".join(items) + "</channel></rss>").encode()


@dataclass
class World:
    """So many podcasts at one publisher, and the real jobs."""

    end: FarEnd
    database: Database
    ctx: Context
    clock: ManualClock
    lines: list[dict[str, Any]]
    commits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.ctx, Outage(self.ctx.now, self.ctx.emit))
        sa.event.listen(self.database.engine, "commit", lambda _: self.commits.append(1))

    def serve(self, body: bytes, *, etag: bool = True) -> None:
        told = {"ETag": f'"{sha256(body).hexdigest()}"'} if etag else {}

        async def play(writer: asyncio.StreamWriter) -> None:
            asked = self.end.heard[-1].fields
            same = etag and asked.get("if-none-match") == told["ETag"]
            writer.write(reply(304, b"", **told) if same else reply(200, body, **told))
            await writer.drain()

        for name in self.ctx.podcasts:
            self.end.on(f"/{name}", play)

    async def sweep(self) -> list[dict[str, Any]]:
        """Poll everything; return the lines of the polls."""
        self.lines.clear()
        self.commits.clear()
        self.end.heard.clear()
        self.clock.turn(POLLING.poll.max)
        while await self.dispatcher.start_polls():
            await self.dispatcher.join()
        return list(self.lines)

    def counted(self) -> int:
        """Return how many requests the budget of the first podcast counts."""
        name = next(iter(self.ctx.podcasts))
        return len(self.database.read(polls.feed, name).polled)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as conn:
            return [tuple(row) for row in conn.exec_driver_sql(query)]


@pytest.fixture
def count() -> int:
    return 1


@pytest.fixture
def patience() -> timedelta | None:
    return None


@pytest.fixture
async def world(tmp_path: Path, count: int, patience: timedelta | None) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        end = await stack.enter_async_context(far_end())
        database = stack.enter_context(closing(connect(f"sqlite:///{tmp_path}/x.db")))
        migrate.migrate(database)
        http = Http(
            user_agent="test",
            deadline=timedelta(seconds=10),
            per_host_interval=timedelta(),
            allow_private=True,
            patience=patience,
        )
        http = await stack.enter_async_context(http)
        thread = stack.enter_context(ThreadPoolExecutor(1))
        clock, lines = ManualClock(START), []
        names = [f"p{n}" for n in range(count)]
        ctx = Context(
            podcasts={
                name: Podcast(name, end.url(f"/{name}"), name, {}, POLLING, REQUESTS)
                for name in names
            },
            limits=LIMITS,
            database=database,
            http=http,
            stenobird=Stenobird(http, base_url=end.url()),
            database_thread=thread,
            sandbox=Sandbox(),
            evidence=None,
            parsers=stack.enter_context(ThreadPoolExecutor(1)),
            now=clock,
            chance=lambda: 0.0,
            token=iter(map(str, range(10**6))).__next__,
            emit=lambda event, _: lines.append(dict(event.fields)),
            wake=lambda _: None,
            outcomes=Outcomes(database, thread),
            uplink=Uplink((), reaches=None),
        )
        configured = [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()]
        database.write(polls.configure, configured, clock())
        yield World(end, database, ctx, clock, lines)


@pytest.fixture
def parsed(monkeypatch) -> list[int]:
    """How many entries feedparser found at each call."""
    calls: list[int] = []
    parse = feedparser.parse

    def counted(*args: Any, **kwargs: Any) -> Any:
        result = parse(*args, **kwargs)
        calls.append(len(result.entries))
        return result

    monkeypatch.setattr(feedparser, "parse", counted)
    return calls


SHOW = [item(n) for n in range(40, 0, -1)]


async def test_of_one_new_item_one_is_parsed_and_of_none_none(world, parsed):
    world.serve(document(*SHOW))
    await world.sweep()
    assert sum(parsed) == 40
    parsed.clear()
    world.serve(document(*SHOW, built=1))
    (line,) = await world.sweep()
    assert (line["read"], line["items"], line["new"], parsed) == ("cut", 40, 0, [])
    world.serve(document(item(41), *SHOW, built=2))
    (line,) = await world.sweep()
    assert (line["read"], line["items"], line["new"], parsed) == ("cut", 41, 1, [1])


async def test_the_same_bytes_are_not_even_unzipped(world, parsed):
    world.serve(document(*SHOW), etag=False)
    await world.sweep()
    parsed.clear()
    (line,) = await world.sweep()
    assert (line["outcome"], line["read"], parsed) == ("ok", "same", [])


async def test_the_poll_after_any_200_is_answered_304(world):
    shown = [*SHOW]
    for n in range(41, 45):
        world.serve(document(*shown, built=n))
        assert [line["http"] for line in await world.sweep()] == [200]
        assert [line["http"] for line in await world.sweep()] == [304]
        shown.insert(0, item(n))


@pytest.mark.parametrize("count", [128])
async def test_a_sweep_without_news_takes_two_transactions_and_one_connection(world):
    world.serve(document(*SHOW[:3]))
    await world.sweep()
    await world.sweep()
    before = world.end.connections
    lines = await world.sweep()
    assert [line["outcome"] for line in lines] == ["not_modified"] * 128
    assert len(world.end.heard) == 128
    assert world.end.most_busy == 1
    assert world.end.connections - before <= 1
    # One claims them, one writes their outcomes: 1/64 each. One finds that nothing more is due.
    assert len(world.commits) == 3


@pytest.mark.parametrize("count", [20])
async def test_changed_headers_alone_write_no_edition(world):
    world.serve(document(*SHOW))
    await world.sweep()
    world.serve(document(*SHOW, built=1))
    await world.sweep()
    written: list[str] = []
    sa.event.listen(
        world.database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, sql, *_: written.append(sql.split()[1]),
    )
    world.serve(document(*SHOW, built=2))
    lines = await world.sweep()
    assert {line["read"] for line in lines} == {"cut"}
    assert "editions" not in written


@pytest.mark.parametrize(("count", "patience"), [(3, timedelta(seconds=0.2))])
async def test_feeds_that_wait_too_long_for_their_origin_are_put_back_unharmed(world):
    world.serve(document(*SHOW))

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        writer.write(reply(200, document(*SHOW)))

    for name in world.ctx.podcasts:
        world.end.on(f"/{name}", slow)
    lines = await world.sweep()
    assert [line["outcome"] for line in lines] == ["ok"]
    waiting = "SELECT count(*) FROM podcasts WHERE last_attempt_at IS NULL AND lease IS NULL"
    assert world.rows(waiting) == [(2,)]
    world.serve(document(*SHOW))
    lines = await world.sweep()
    assert [(line["outcome"], line["failures"]) for line in lines] == [("ok", 0)] * 3


# --- heads --------------------------------------------------------------------------------


NOISE = b64encode(os.urandom(45_000)).decode()  # it does not shrink when it is zipped


def long_show(newest: int) -> list[str]:
    """Return a show that is long on the wire too."""
    return [item(n, f"{n} {NOISE}") for n in range(newest, 0, -1)]


async def test_of_a_long_calm_feed_the_head_is_read_and_a_day_later_all(world):
    shown = long_show(40)
    for built in range(2):
        world.serve(document(*shown, built=built))
        assert [line["read"] for line in await world.sweep()] == ["cut"]
    whole = len(document(*shown))
    world.serve(document(*shown, built=2))
    before = world.end.connections
    (line,) = await world.sweep()
    assert (line["read"], line["items"], line["new"]) == ("head", 40, 0)
    assert line["bytes"] < whole / 5
    world.serve(document(*long_show(41), built=3))
    (line,) = await world.sweep()
    assert (line["read"], line["items"], line["new"]) == ("head", 41, 1)
    assert world.end.connections - before <= 2  # one more for each that was hung up
    world.clock.turn(DAY)
    (line,) = await world.sweep()
    assert (line["read"], line["items"], line["new"]) == ("cut", 41, 0)
    assert "if-none-match" not in world.end.heard[0].fields


async def test_what_changed_below_the_head_is_found_by_the_daily_sweep(world):
    shown = long_show(40)
    for built in range(2):
        world.serve(document(*shown, built=built))
        await world.sweep()
    shown[30] = shown[30].replace("Episode 10<", "An edited title<")
    world.serve(document(*shown, built=2))
    (line,) = await world.sweep()
    assert (line["read"], line["changed"]) == ("head", 0)
    world.clock.turn(DAY)
    (line,) = await world.sweep()
    assert (line["read"], line["changed"]) == ("cut", 1)


async def test_an_old_episode_under_a_new_guid_on_top_sends_for_the_whole(world):
    shown = long_show(40)
    for built in range(2):
        world.serve(document(*shown, built=built))
        await world.sweep()
    again = shown.pop(35).replace("<guid>g5<", "<guid>new<")
    world.serve(document(again, *shown, built=2))
    counted = world.counted()
    (line,) = await world.sweep()
    assert (line["read"], line["new"], len(world.end.heard)) == ("cut", 0, 2)
    assert world.counted() == counted + 2, "both are requests of the day"
    assert world.rows("SELECT value FROM aliases WHERE kind = 'guid' AND value = 'new'")


# --- the parser ---------------------------------------------------------------------------

QUIET = """
import sys
from monitor.cli import main
sys.argv = ["podcast-monitor", "--config", sys.argv[1], "run", "--once"]
try:
    main()
except SystemExit:
    sys.exit("feedparser" in sys.modules)
"""


@pytest.mark.parametrize(("asked_for", "requests"), [(False, 1), (True, 2)])
async def test_without_room_for_a_second_request_the_first_is_for_the_whole(
    world, asked_for, requests
):
    shown = long_show(40)
    for built in range(2):
        world.serve(document(*shown, built=built))
        await world.sweep()
    before = world.counted()
    podcast = world.ctx.podcasts["p0"]
    budget = replace(podcast.polling, per_day=before + 1)  # so small a one has no slack
    assert cap(budget.per_day) == before + 1
    world.ctx.podcasts["p0"] = replace(podcast, polling=budget)
    again = shown.pop(35).replace("<guid>g5<", "<guid>new<")
    world.serve(document(again, *shown, built=2))
    if asked_for:
        world.database.write(polls.mark_due, ["p0"], world.clock())
    (line,) = await world.sweep()
    assert (line["read"], line["new"], len(world.end.heard)) == ("cut", 0, requests)
    assert world.counted() == before + requests


async def test_a_run_in_which_every_answer_is_a_304_does_not_load_the_parser(world, tmp_path):
    world.clock.at = datetime.now(UTC) - 2 * POLLING.poll.max  # or the day's whole GET is due
    world.serve(document(*SHOW))
    await world.sweep()
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(directory=tmp_path, url=world.end.origin))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", QUIET, str(config)), stderr=asyncio.subprocess.PIPE
    )
    _, log = await process.communicate()
    assert b'"outcome":"not_modified"' in log
    assert process.returncode == 0
