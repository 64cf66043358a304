"""One conditional GET, against a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from monitor.adapters.fetch import ACCEPT, MAX_VALIDATOR_CHARS, fetch
from monitor.adapters.http import Http
from monitor.core.model import Fetched, FetchFailed, FetchOutcome, NotModified, Validators
from tests.adapters.server import FarEnd, Taking, cut_short, far_end, moved, reply

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)
NONE = Validators()
BOTH = Validators('W/"a,b  c"', "Sat, 10 Oct 2026 11:59:59 GMT")


@pytest.fixture
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        yield end


async def visit(url: str, validators: Validators = NONE, **changed) -> FetchOutcome:
    asked = {
        "headers": {},
        "max_body_bytes": 2**20,
        "receiver": Taking(lambda _piece: True),
        "now": NOW,
    }
    async with Http(
        user_agent="test",
        deadline=timedelta(seconds=10),
        per_host_interval=timedelta(0),
        allow_private=True,
    ) as http:
        return await fetch(http, url, validators=validators, **(asked | changed))


async def test_a_200_brings_a_body_validators_and_freshness(end):
    fields = {"ETag": BOTH.etag, "Last_Modified": BOTH.last_modified, "Age": "60"}
    end.on("/", reply(body=b"<rss/>", Cache_Control="public, max-age=300", **fields))
    pieces: list[bytes] = []
    assert await visit(
        end.url(), receiver=Taking(lambda piece: not pieces.append(piece))
    ) == Fetched(
        BOTH,
        body_bytes=6,
        wire_bytes=6,
        complete=True,
        max_age=timedelta(seconds=240),
        wire_digest=sha256(b"<rss/>").digest(),
    )
    assert pieces == [b"<rss/>"]


async def test_a_first_visit_is_unconditional(end):
    end.on("/", reply())
    await visit(end.url())
    assert end.heard[0].fields["accept"] == ACCEPT
    assert not {"if-none-match", "if-modified-since"} & set(end.heard[0].fields)


@pytest.mark.parametrize(
    "validators",
    [
        pytest.param(BOTH, id="weak-with-a-comma-and-blanks"),
        pytest.param(Validators(etag='"only"'), id="etag-only"),
        pytest.param(Validators(last_modified="0"), id="a-date-that-is-none"),
        pytest.param(Validators("unquoted", "yesterday"), id="nothing-as-it-should-be"),
        pytest.param(Validators(etag='""'), id="an-empty-etag"),
        pytest.param(Validators(etag='"\\"%22"'), id="quotes-and-escapes"),
    ],
)
async def test_validators_go_back_byte_by_byte_as_they_came(end, validators):
    fields = {"ETag": validators.etag, "Last_Modified": validators.last_modified}
    given = {name: value for name, value in fields.items() if value is not None}
    end.on("/", reply(**given), reply(304))
    first = await visit(end.url())
    assert first.validators == validators
    assert await visit(end.url(), first.validators) == NotModified(Validators())
    lines = end.heard[1].head.split(b"\r\n")
    for name, value in (
        (b"If-None-Match", validators.etag),
        (b"If-Modified-Since", validators.last_modified),
    ):
        sent = [line for line in lines if line.lower().startswith(name.lower())]
        values = [line[len(name) :] for line in sent]
        assert values == ([] if value is None else [b": " + value.encode()])


@pytest.mark.parametrize(
    "etag",
    [
        pytest.param('"' + "x" * MAX_VALIDATOR_CHARS + '"', id="too-long"),
        pytest.param('"caf\xe9"', id="latin-1"),
        pytest.param('"caf\xc3\xa9"', id="utf-8"),
        pytest.param('"a\tb"', id="a-tab"),
        pytest.param("", id="empty"),
    ],
)
async def test_a_validator_that_cannot_go_back_as_it_came_is_dropped(end, etag):
    end.on("/", reply(ETag=etag, Last_Modified="then"))
    first = await visit(end.url())
    assert first.validators == Validators(last_modified="then")
    assert isinstance(await visit(end.url(), first.validators), Fetched)


async def test_the_longest_validator_is_kept(end):
    end.on("/", reply(ETag="x" * MAX_VALIDATOR_CHARS))
    assert (await visit(end.url())).validators.etag == "x" * MAX_VALIDATOR_CHARS


async def test_a_304_brings_its_own_validators_and_freshness(end):
    end.on("/", reply(304, ETag='"new"', Cache_Control="max-age=60"))
    outcome = await visit(end.url(), BOTH)
    assert outcome == NotModified(Validators(etag='"new"'), timedelta(seconds=60))


async def test_a_304_that_nobody_asked_for_is_a_failure(end):
    end.on("/", reply(304))
    assert await visit(end.url()) == FetchFailed("unexpected_304", 304)


@pytest.mark.parametrize("status", [204, 206, 300, 400, 401, 403, 404, 410, 429, 500, 503])
async def test_any_other_status_is_a_failure_by_its_number(end, status):
    end.on("/", reply(status, Retry_After="120"))
    assert await visit(
        end.url(), receiver=Taking(lambda _piece: pytest.fail("received"))
    ) == FetchFailed(f"http_{status}", status, timedelta(seconds=120))


async def test_a_date_to_come_back_at_is_read_by_the_servers_own_clock(end):
    wrong_by_years = {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
    end.on("/", reply(429, Retry_After="Thu, 01 Jan 1970 00:05:00 GMT", **wrong_by_years))
    assert (await visit(end.url())).retry_after == timedelta(minutes=5)


async def test_a_body_cut_short_is_a_failure_without_validators(end):
    end.on("/", cut_short(reply(body=b"x" * 100, ETag='"1"')[:-1]))
    assert await visit(end.url()) == FetchFailed("truncated")


async def test_what_is_no_address_is_a_failure():
    assert await visit("feed.xml") == FetchFailed("bad_url")


async def test_a_receiver_that_has_enough_is_an_incomplete_success(end):
    end.on("/", reply(body=b"x" * 100_000, ETag='"1"'))
    outcome = await visit(end.url(), receiver=Taking(lambda _piece: False))
    assert (outcome.complete, outcome.validators) == (False, Validators(etag='"1"'))


async def test_the_operators_headers_go_along_but_not_to_another_origin(end):
    async with far_end("127.0.0.2") as other:
        end.on("/", moved(other.url(), 301))
        other.on("/", reply(304))
        key = {"X-Api-Key": "s3cret", "accept": "text/xml"}
        assert isinstance(await visit(end.url(), BOTH, headers=key), NotModified)
        first, second = end.heard[0].fields, other.heard[0].fields
    assert (first["x-api-key"], first["accept"]) == ("s3cret", "text/xml")
    assert ("x-api-key" in second, second["accept"]) == (False, ACCEPT)
    assert second["if-none-match"] == BOTH.etag


async def test_a_feed_that_moved_for_good_says_where_to(end):
    end.on("/", moved("/new", 308)).on("/new", reply())
    assert (await visit(end.url())).moved_to == end.url("/new")


async def test_what_went_wrong_with_a_handshake_is_told():
    async def speak_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Said\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as server:
        outcome = await visit(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (outcome.reason, outcome.detail != "") == ("tls", True)
