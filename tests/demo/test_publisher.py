"""The demo's feed: what it says, and that each of its faults happens on the wire."""

import asyncio
import csv
import gzip
import io
import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import feedparser
import httpx
import pytest

from monitor.demo import (
    ManualClock,
    empty,
    html_page,
    reset,
    shortened,
    slow,
    slow_drip,
    status,
    truncated,
)
from monitor.demo.publisher import Item, Publisher, filler, new_item, real_items
from monitor.demo.server import World, serve, serve_in_thread
from monitor.demo.stenobird import Replica

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)
OLD = new_item(100, "Old", NOON - timedelta(days=9), notes_chars=200)
NEW = new_item(101, "New & <improved> ]]> — ç", NOON - timedelta(hours=1), notes_chars=200)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def publisher(clock) -> Publisher:
    return Publisher("latent-space", [OLD, NEW], clock=clock)


@asynccontextmanager
async def visiting(publisher: Publisher, **headers: str):
    """Yield a function that GETs the feed over a real connection."""
    replica = Replica({"podcast": publisher}, clock=publisher.clock)
    async with (
        serve(World(publisher, replica=replica)) as base_url,
        httpx.AsyncClient(base_url=base_url, headers=headers, timeout=5) as client,
    ):

        async def get(**more: str) -> httpx.Response:
            return await client.get(publisher.path, headers=more)

        yield get


def read(body: bytes) -> feedparser.FeedParserDict:
    document = feedparser.parse(io.BytesIO(body))
    assert not document.bozo
    return document


def facts_of(item: Item) -> tuple[object, ...]:
    return (
        *(item.guid, item.title, item.link, item.published_at.replace(microsecond=0)),
        *(item.duration_s, item.audio_bytes, item.audio_url),
    )


def facts_read(entry: feedparser.FeedParserDict) -> tuple[object, ...]:
    (enclosure,) = entry.enclosures
    return (
        *(entry.id, entry.title, entry.link, datetime(*entry.published_parsed[:6], tzinfo=UTC)),
        *(int(entry.itunes_duration), int(enclosure.length), enclosure.href),
    )


# --- what it says ------------------------------------------------------------------------


async def test_92_real_episodes_are_served_and_read_back_newest_first(clock):
    items = real_items(notes_chars=1_000)
    async with visiting(Publisher("latent-space", items, clock=clock)) as get:
        response = await get()
    assert response.headers["content-encoding"] == "gzip"
    entries = read(response.content).entries
    assert len({item.guid for item in items}) == len(entries) == 92
    assert [facts_read(entry) for entry in entries] == [facts_of(item) for item in items]
    dates = [item.published_at for item in items]
    assert dates == sorted(dates, reverse=True)
    assert all(len(item.notes) == 1_000 for item in items)


@pytest.mark.shared
async def test_the_real_facts_are_kept_and_every_invented_one_is_marked(shared: Path):
    with (shared / "feeds" / "latent_space_episodes.csv").open(newline="") as file:
        real = {row["title"]: row for row in csv.DictReader(file)}
    text = files("monitor.demo").joinpath("episodes.csv").read_text()
    ours = {row["title"]: row for row in csv.DictReader(text.splitlines())}
    assert ours.keys() == real.keys()
    names = {"guid": "guid", "link": "link", "audio_url": "audio_url"}
    names |= {"bytes": "audio_bytes", "seconds": "duration_s", "published": "published_utc"}
    for title, row in ours.items():
        filled = row["filled"].split()
        differ = [ours for ours, theirs in names.items() if row[ours] != real[title][theirs]]
        assert sorted(filled) == sorted(differ)
        for name in set(filled) - {"published"}:
            assert real[title][names[name]] == ""
        assert row["published"].startswith(real[title]["published_utc"][:10])


@pytest.mark.shared
async def test_the_shape_is_substacks_to_the_element(shared: Path, publisher):
    model = ET.parse(shared / "feeds" / "substack_shape.xml").getroot()
    ours = ET.fromstring(publisher.document())
    for path in ("channel", "channel/item"):
        theirs = [(e.tag, sorted(e.attrib)) for e in model.find(path)]
        said = [(e.tag, sorted(e.attrib)) for e in ours.find(path)]
        # The model has two categories and one item; we have one and two.
        assert list(dict.fromkeys(map(str, said))) == list(dict.fromkeys(map(str, theirs)))
    assert model.attrib == ours.attrib
    assert "\n" not in publisher.document()
    assert "<title><![CDATA[Old]]></title>" in publisher.document()


async def test_lastbuilddate_is_the_time_of_each_answer(publisher, clock):
    async with visiting(publisher) as get:
        first = await get()
        clock.turn(timedelta(seconds=5))
        second = await get()
    assert b"<lastBuildDate>Mon, 12 Oct 2026 12:00:00 GMT</lastBuildDate>" in first.content
    assert b"<lastBuildDate>Mon, 12 Oct 2026 12:00:05 GMT</lastBuildDate>" in second.content


async def test_every_operation_shows_in_the_next_answer(publisher):
    async with visiting(publisher) as get:
        backdated = new_item(102, "Backdated", NOON - timedelta(days=5))
        publisher.publish(backdated)
        publisher.edit_title(OLD.guid, "Old, edited")
        publisher.replace_audio(NEW.guid, "https://cdn.example/a?b=1&c=2")
        entries = read((await get()).content).entries
        assert [entry.id for entry in entries] == [NEW.guid, backdated.guid, OLD.guid]
        assert entries[2].title == "Old, edited"
        assert entries[0].enclosures[0].href == "https://cdn.example/a?b=1&c=2"

        publisher.remove(backdated.guid)
        publisher.redate(OLD.guid, NOON)
        entries = read((await get()).content).entries
        assert [entry.id for entry in entries] == [OLD.guid, NEW.guid]

        publisher.restore(backdated.guid)
        assert len(read((await get()).content).entries) == 3


async def test_a_text_post_has_no_enclosure(publisher):
    publisher.publish(replace(new_item(103, "Essay", NOON), audio_url=None))
    async with visiting(publisher) as get:
        essay = read((await get()).content).entries[0]
    assert (essay.title, essay.enclosures) == ("Essay", [])


@pytest.mark.parametrize("chars", [7, 8, 500, 75_799])
async def test_filler_has_the_length_asked_for_and_repeats_itself(chars):
    assert len(filler("a", chars)) == chars
    assert filler("a", chars) == filler("a", chars)


async def test_filler_shrinks_about_as_prose_does():
    notes = filler("a", 75_799).encode()
    assert filler("a", 75_799) != filler("b", 75_799)
    assert 0.2 < len(gzip.compress(notes)) / len(notes) < 0.5


# --- conditional GET ---------------------------------------------------------------------


async def test_gzip_is_sent_only_where_it_is_asked_for(publisher):
    async with visiting(publisher, **{"Accept-Encoding": "identity"}) as get:
        plain = await get()
    async with visiting(publisher, **{"Accept-Encoding": "gzip"}) as get:
        zipped = await get()
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert plain.content == zipped.content


@pytest.mark.parametrize(
    ("validator", "condition"),
    [("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")],
)
async def test_either_validator_brings_a_304_until_something_changes(
    publisher, clock, validator, condition
):
    async with visiting(publisher) as get:
        told = (await get()).headers[validator]
        clock.turn(timedelta(hours=1))
        unchanged = await get(**{condition: told})
        publisher.edit_title(OLD.guid, "Old, edited")
        changed = await get(**{condition: told})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers[validator] == told
    assert changed.status_code == 200
    assert changed.headers[validator] != told


async def test_the_etag_counts_where_both_validators_come(publisher):
    async with visiting(publisher) as get:
        modified = (await get()).headers["last-modified"]
        response = await get(**{"If-None-Match": '"other"', "If-Modified-Since": modified})
    assert response.status_code == 200


async def test_without_validators_every_answer_is_whole(clock):
    publisher = Publisher("plain", [OLD], clock=clock, validators=False)
    async with visiting(publisher) as get:
        response = await get(**{"If-None-Match": "*", "If-Modified-Since": "Mon, 12 Oct 2026"})
    assert response.status_code == 200
    assert not {"etag", "last-modified"} & response.headers.keys()


# --- faults ------------------------------------------------------------------------------


async def test_a_status_comes_with_its_retry_after_and_then_all_is_well(publisher):
    publisher.faults.next(status(503), None, status(429, retry_after=7, body=b"slow down"))
    async with visiting(publisher) as get:
        answers = [await get() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 200, 429, 200]
    assert (answers[2].headers["retry-after"], answers[2].content) == ("7", b"slow down")
    assert [exchange.fault for exchange in publisher.exchanges] == [
        *("status_503", None, "status_429", None),
    ]


async def test_a_lasting_fault_lasts_until_it_is_cleared(publisher):
    publisher.faults.always(status(403))
    async with visiting(publisher) as get:
        refused = [(await get()).status_code for _ in range(3)]
        publisher.faults.clear()
        assert [*refused, (await get()).status_code] == [403, 403, 403, 200]


async def test_a_page_and_an_empty_body_come_with_200(publisher):
    publisher.faults.next(html_page(), empty())
    async with visiting(publisher) as get:
        page, nothing = await get(), await get()
    assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")
    assert page.content.startswith(b"<!DOCTYPE html>")
    assert (nothing.status_code, nothing.content) == (200, b"")


async def raw_answer(base_url: str, path: str) -> tuple[bytes, bytes, bool]:
    """Return head and body as far as they came, and whether the connection was reset."""
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    received, was_reset = b"", False
    try:
        while piece := await reader.read(65_536):
            received += piece
    except ConnectionResetError:
        was_reset = True
    writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body, was_reset


@pytest.mark.parametrize(
    ("fault", "head", "arrives", "ends_in_reset"),
    [
        (truncated(), b"HTTP/1.1 200 OK", True, False),
        (reset(), b"", False, True),
    ],
    ids=["truncated", "reset"],
)
async def test_a_broken_connection_is_broken_on_the_wire(
    publisher, clock, fault, head, arrives, ends_in_reset
):
    publisher.faults.next(fault)
    world = World(publisher, replica=Replica({}, clock=clock))
    async with serve(world) as base_url:
        got, body, was_reset = await raw_answer(base_url, publisher.path)
    whole = len(publisher.document())
    assert got.startswith(head)
    assert bool(body) is arrives
    assert was_reset is ends_in_reset
    if arrives:
        assert f"Content-Length: {len(publisher.document().encode())}".encode() in got
        assert 0.4 * whole < len(body) < 0.6 * whole
    assert publisher.exchanges[0].status == (200 if head else None)


async def test_a_reset_in_the_middle_of_the_body_fails_the_read(publisher):
    publisher.faults.next(reset(0.5))
    async with visiting(publisher) as get:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await get()
        assert (await get()).status_code == 200


async def test_a_shortened_body_arrives_as_if_it_were_whole(publisher):
    publisher.faults.next(shortened())
    async with visiting(publisher, **{"Accept-Encoding": "identity"}) as get:
        response = await get()
    assert len(response.content) == int(response.headers["content-length"])
    with pytest.raises(ET.ParseError):
        ET.fromstring(response.content)


async def test_a_slow_drip_outlasts_any_patience_between_bytes(publisher):
    publisher.faults.next(slow_drip(0.01, piece_bytes=10))
    received = 0
    async with visiting(publisher) as get:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await get()
        received = len((await get()).content)
    assert received > 1_000


async def test_a_slow_answer_keeps_the_reader_waiting(publisher):
    publisher.faults.next(slow(60))
    async with visiting(publisher) as get:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await get()


# --- the server --------------------------------------------------------------------------


async def test_the_ledger_tells_of_every_request(publisher, clock):
    async with visiting(publisher, **{"User-Agent": "podcast-monitor/1"}) as get:
        await get()
        clock.turn(timedelta(minutes=5))
        await get(**{"If-None-Match": "x"})
    first, second = publisher.exchanges
    assert (first.at, second.at) == (NOON, NOON + timedelta(minutes=5))
    assert (first.method, first.path, first.status) == ("GET", "/feed/latent-space.rss", 200)
    assert first.headers["user-agent"] == "podcast-monitor/1"
    assert second.headers["if-none-match"] == "x"


async def test_several_feeds_have_an_address_each(publisher, clock):
    other = Publisher("other", [OLD], clock=clock)
    world = World(publisher, other, replica=Replica({}, clock=clock))
    async with serve(world) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        bodies = [(await client.get(p.path)).content for p in (publisher, other)]
        assert (await client.get("/feed/nobody.rss")).status_code == 404
        assert (await client.head(other.path)).status_code == 404
    assert [len(read(body).entries) for body in bodies] == [2, 1]
    assert [e.path for e in world.replica.exchanges] == ["/feed/nobody.rss", "/feed/other.rss"]


async def test_it_stops_at_once_in_the_middle_of_an_answer_and_leaves_no_task(publisher, caplog):
    publisher.faults.always(slow(60))
    tasks = asyncio.all_tasks()
    world = World(publisher, replica=Replica({}, clock=publisher.clock))
    async with httpx.AsyncClient() as client:
        async with serve(world) as base_url:
            waiting = asyncio.create_task(client.get(base_url + publisher.path))
            while not publisher.exchanges:  # noqa: ASYNC110 - a ledger has no event to wait for
                await asyncio.sleep(0)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        with pytest.raises(httpx.RemoteProtocolError):
            await waiting
    assert asyncio.all_tasks() == tasks
    assert not caplog.records


async def test_a_reader_that_has_enough_disturbs_nothing(clock, caplog):
    publisher = Publisher("long", real_items(notes_chars=75_000), clock=clock)
    world = World(publisher, replica=Replica({}, clock=clock))
    async with serve(world) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        identity = {"Accept-Encoding": "identity"}
        async with client.stream("GET", publisher.path, headers=identity) as response:
            async for chunk in response.aiter_raw():
                assert chunk
                break
        assert (await client.get(publisher.path)).status_code == 200
    assert not [r for r in caplog.records if r.name.startswith("aiohttp")]


def test_it_can_be_served_from_a_thread_and_come_back_on_the_same_port(publisher, clock):
    world = World(publisher, replica=Replica({}, clock=clock))
    with serve_in_thread(world) as base_url, httpx.Client(base_url=base_url) as client:
        assert client.get(publisher.path).status_code == 200
    port = int(base_url.rpartition(":")[2])
    with pytest.raises(httpx.ConnectError):
        httpx.get(base_url + publisher.path)
    with serve_in_thread(world, port=port) as again:
        assert again == base_url
        assert httpx.get(base_url + publisher.path).status_code == 200
        with pytest.raises(OSError, match="in use"), serve_in_thread(world, port=port):
            pass


def test_a_posting_to_the_feed_is_not_served(publisher, clock):
    world = World(publisher, replica=Replica({}, clock=clock))
    with serve_in_thread(world) as base_url:
        answer = httpx.post(base_url + publisher.path)
    assert (answer.status_code, json.loads(answer.content)["error"]["code"]) == (404, "not_found")
