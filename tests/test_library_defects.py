"""Known defects of libraries on the way: each shown as it is installed, and that we are not hit.

A test here that fails after an update says that a defect is mended, and that what we do against it
may go. Where the other half of a pair has its place elsewhere, it is not repeated:

| the defect | we are not hit |
| --- | --- |
| apscheduler 3.11: an exception in its own pass kills its timer (#1113) | ``test_ticker.py``: ``SafeScheduler`` |
| apscheduler: set back, the wall clock stops every job | ``test_ticker.py``, ``test_time_faults.py`` |
| apscheduler: a run a second late is dropped | here |
| apscheduler: set forward, it lists every run that it missed | ``test_time_faults.py``, a month forward |
| httpx: no deadline over an exchange | ``adapters/test_http.py``: the deadline bounds a drip |
| httpx: half a gzip stream is a good answer | ``adapters/test_http.py``: a broken gzip stream |
| httpx: a bomb is unzipped before any cap can act | ``adapters/test_http.py``: a gzip bomb |
| httpx: its own engine's pool forgets places (httpcore#1093) | here, and ``adapters/test_http.py`` |
| httpx: cookies are kept and sent back | ``adapters/test_http.py``: cookies are never sent back |
| aiohttp: a GET is sent twice if its connection breaks | ``adapters/test_http.py``; ``engine.py`` says how |
| sqlite3 as SQLAlchemy opens it: lost updates | ``store/test_one_writer.py``, both halves |
| feedparser: a body that is a path is opened | ``test_hostile_publishers.py``: a path for a body |
| PostgreSQL: a commit that failed may have happened | here; what it leads to: ``campaigns`` |
"""

import asyncio
import gzip
import io
import os
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import aiohttp
import apscheduler.schedulers.base
import feedparser
import httpx
import psycopg
import pytest
from apscheduler.events import EVENT_JOB_MISSED
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from monitor.adapters.http import Http
from monitor.ticker import Ticker
from tests.adapters.server import FarEnd, endless, far_end, reply, reset, until

pytestmark = pytest.mark.anyio

OFTEN_S = 0.01
LONG_S = 0.3  # thirty times as long
LATE = timedelta(seconds=5)
MIB = 1 << 20
CANCELLED = 500
ROUNDS = 200  # 40 are plenty


@pytest.fixture
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        yield end


# --- apscheduler ---------------------------------------------------------------------------


@pytest.fixture
async def scheduler() -> AsyncIterator[AsyncIOScheduler]:
    scheduler = AsyncIOScheduler(timezone=UTC)
    yield scheduler
    scheduler.shutdown(wait=False)


async def test_apschedulers_timer_dies_of_one_exception_and_it_says_that_it_runs(
    scheduler, monkeypatch
):
    runs: list[int] = []
    scheduler.add_job(lambda: runs.append(1), "interval", seconds=OFTEN_S)
    scheduler.start()
    await until(lambda: len(runs) > 2)
    store = scheduler._jobstores["default"]
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))

    def fail_once(_job: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(store, "update_job", fail_once)
    await until(lambda: bool(raised))
    so_far = len(runs)
    await asyncio.sleep(LONG_S)
    assert len(runs) <= so_far + 1  # what was submitted before
    assert scheduler.running


async def test_apscheduler_stands_still_until_a_clock_that_was_set_back_has_caught_up(
    scheduler, monkeypatch
):
    ahead = timedelta()

    class Turned(datetime):
        @classmethod
        def now(cls, tz=None):
            return (datetime.now(UTC) + ahead).astimezone(tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Turned)
    runs: list[int] = []
    scheduler.add_job(lambda: runs.append(1), "interval", seconds=OFTEN_S)
    scheduler.start()
    await until(lambda: len(runs) > 2)
    ahead = -timedelta(hours=1)
    await asyncio.sleep(0.1)
    so_far = len(runs)
    await asyncio.sleep(LONG_S)
    assert len(runs) == so_far


async def test_apscheduler_drops_a_run_that_comes_late(scheduler):
    missed: list[object] = []
    runs: list[int] = []
    scheduler.add_listener(missed.append, EVENT_JOB_MISSED)
    late = datetime.now(UTC) - LATE
    scheduler.add_job(lambda: runs.append(1), "interval", hours=1, next_run_time=late)
    scheduler.start()
    await until(lambda: bool(missed))
    assert runs == []


async def test_our_ticks_come_late_rather_than_never():
    wall = datetime.now(UTC) - LATE
    told: list[object] = []
    ticked = asyncio.Event()

    async def tick() -> None:
        ticked.set()

    ticker = Ticker(
        now=lambda: wall,
        monotonic=asyncio.get_running_loop().time,
        tell=told.append,
        jumped=told.append,
    )
    ticker.every(timedelta(hours=1), "late", tick)
    ticker.start()
    async with asyncio.timeout(5):
        await ticked.wait()
    await ticker.stop()
    assert told == []


async def test_apscheduler_lists_every_run_that_it_missed_though_it_makes_one_of_them(scheduler):
    now = datetime.now(UTC)
    job = scheduler.add_job(print, "interval", seconds=1, next_run_time=now, coalesce=True)
    scheduler.start(paused=True)
    assert len(job._get_run_times(now + timedelta(hours=1))) == 3601


# --- httpx and aiohttp ---------------------------------------------------------------------


async def test_httpx_has_no_deadline_for_a_drip(end):
    end.on("/", endless(b"HTTP/1.1 200 Said\r\nContent-Length: 9999\r\n\r\n", b"x", 0.02))
    async with httpx.AsyncClient(timeout=0.1, trust_env=False) as client:
        with pytest.raises(TimeoutError):  # ours: httpx itself would wait for minutes
            async with asyncio.timeout(10 * 0.1):
                await client.get(end.url())


async def test_httpx_takes_half_a_gzip_stream_for_a_good_answer(end):
    body = os.urandom(50_000)
    end.on("/", reply(200, gzip.compress(body)[:-20_000], Content_Encoding="gzip"))
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(end.url())
    assert answer.status_code == 200
    assert 0 < len(answer.content) < len(body)


async def test_httpx_unzips_a_whole_chunk_whatever_it_swells_to(end):
    end.on("/", reply(200, gzip.compress(bytes(60 * MIB)), Content_Encoding="gzip"))
    tracemalloc.start()
    try:
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", end.url()) as answer,
        ):
            async for piece in answer.aiter_bytes(65_536):
                assert len(piece) == 65_536  # as asked for
                break
        assert tracemalloc.get_traced_memory()[1] > 30 * MIB
    finally:
        tracemalloc.stop()


async def test_httpxs_own_engine_forgets_places_of_its_pool_when_requests_are_cancelled(end):
    """httpcore#1093. How many depends on where each was cancelled; sooner or later there are some."""
    end.on("/wait", endless(b"", b"", 0.02)).on("/", reply(body=b"x"))
    chance = Random(1)
    async with httpx.AsyncClient(
        trust_env=False, limits=httpx.Limits(max_connections=10)
    ) as client:
        pool = client._transport._pool
        for n in range(ROUNDS):
            paths = chance.choices(("/", "/wait"), k=25)
            asked = [asyncio.create_task(client.get(end.url(path))) for path in paths]
            await asyncio.sleep(chance.random() * 0.02 * (n + 1))  # a busy machine needs longer
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            if not all(place.is_idle() or place.is_closed() for place in pool.connections):
                return
    raise AssertionError("mended?")


async def test_five_hundred_cancelled_requests_of_ours_leave_no_socket():
    """Each at an origin of its own, or most would be cancelled while they wait for their turn."""
    async with (
        far_end("0.0.0.0") as end,
        Http(
            user_agent="test",
            deadline=timedelta(seconds=30),
            per_host_interval=timedelta(),
            allow_private=True,
        ) as http,
    ):
        end.on("/", reply(body=b"x")).on("/wait", endless(b"", b"", 0.02))
        chance, before = Random(1), open_files()
        for n in range(CANCELLED // 50):
            urls = [
                f"http://127.3.{n}.{i + 1}:{end.port}{chance.choice(('/', '/wait'))}"
                for i in range(50)
            ]
            asked = [
                asyncio.create_task(http.get(url, headers={}, max_body_bytes=MIB)) for url in urls
            ]
            await asyncio.sleep(chance.random() * 0.1)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        at_rest = sum(1 for _ in http._client._transport.client._connector._conns)
        await until(lambda: open_files() <= before + end.open + at_rest)
        assert end.connections > CANCELLED / 4


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths


async def test_aiohttp_sends_a_get_twice_if_its_connection_breaks(end):
    end.on("/", reset)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(end.url())
    assert len(end.heard) == 2


# --- feedparser ----------------------------------------------------------------------------


def test_feedparser_opens_a_body_that_is_a_path(tmp_path):
    feed = tmp_path / "feed.xml"
    feed.write_text("<rss version='2.0'><channel><title>From the disk</title></channel></rss>")
    assert feedparser.parse(str(feed).encode()).feed.title == "From the disk"
    assert "title" not in feedparser.parse(io.BytesIO(str(feed).encode())).feed


# --- PostgreSQL ----------------------------------------------------------------------------


def test_a_commit_that_failed_may_have_happened(postgresql):
    name = postgresql.create()
    direct = postgresql.address(name).replace("+psycopg", "")
    with psycopg.connect(direct) as conn:
        conn.execute("CREATE TABLE t (n int)")
    info = psycopg.conninfo.conninfo_to_dict(direct)
    with cut_after_commit(f"{info['host']}/.s.PGSQL.{info.get('port', 5432)}") as port:
        cut = psycopg.conninfo.make_conninfo(direct, host="127.0.0.1", port=port, sslmode="disable")
        with closing(psycopg.connect(cut)) as conn:
            conn.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(psycopg.OperationalError):
                conn.commit()
    with psycopg.connect(direct) as conn:
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (1,)
    postgresql.drop(name)


@contextmanager
def cut_after_commit(server: str) -> Iterator[int]:
    """Forward one connection to a server's socket, and cut it when a COMMIT was carried out."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_forward, args=(listening, server))
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def _forward(listening: socket.socket, server: str) -> None:
    near, _ = listening.accept()
    with near, socket.socket(socket.AF_UNIX) as far:
        far.connect(server)
        while asked := near.recv(65_536):
            far.sendall(asked)
            answered = far.recv(65_536)
            if b"COMMIT" in asked:
                return
            near.sendall(answered)
