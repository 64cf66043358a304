"""Stenobird's two verbs, against a real server on loopback."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from monitor.adapters.http import Http
from monitor.adapters.stenobird import MAX_BODY_BYTES, MAX_WAIT_S, Stenobird
from monitor.core.model import (
    LookupFailed,
    NotListed,
    PostAnswered,
    PostLost,
    PostNotSent,
    Resource,
)
from tests.adapters.server import FarEnd, cut_short, far_end, moved, reply, reset

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)
JSON = "/v1/public/podcasts/show/episodes/one"
MARKDOWN = "/podcast/show/one.md"
POST = f"{JSON}/transcription-requests"
EPISODE = {"title": "One", "audio_url": "https://example.com/1.mp3"}
PROCESSED = json.dumps(EPISODE | {"processing_state": "processed"}).encode()
STATELESS = json.dumps(EPISODE).encode()
PAGE = b"# One\n\nAudio file: https://example.com/1.mp3\nProcessing state: queued\n"
PAGE_WITHOUT_STATE = b"# One\n\nAudio file: https://example.com/1.mp3\n"


@pytest.fixture
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        yield end


@asynccontextmanager
async def stenobird(base_url: str, token: str = "t0ken") -> AsyncIterator[Stenobird]:
    async with Http(
        user_agent="test",
        deadline=timedelta(seconds=10),
        per_host_interval=timedelta(0),
        allow_private=True,
    ) as http:
        yield Stenobird(http, base_url=base_url, token=token)


async def look(end: FarEnd) -> Resource | NotListed | LookupFailed:
    async with stenobird(end.origin) as asked:
        return await asked.look_up("show", "one", now=NOW)


async def request(end: FarEnd, path: str = POST) -> PostAnswered | PostLost | PostNotSent:
    async with stenobird(end.origin) as asked:
        return await asked.post(end.url(path), key="k3y", now=NOW)


# --- looking up -----------------------------------------------------------------------------


async def test_a_resource_is_read_from_its_json(end):
    end.on(JSON, reply(body=PROCESSED))
    found = await look(end)
    assert (found.state, found.title, found.form) == ("processed", "One", "json")
    assert end.heard[0].fields["accept"] == "application/json"
    assert end.heard[0].fields["authorization"] == "Bearer t0ken"
    assert len(end.heard) == 1


async def test_without_a_token_none_is_sent(end):
    end.on(JSON, reply(body=PROCESSED)).on(POST, reply(202))
    async with stenobird(end.origin, token="") as asked:
        await asked.look_up("show", "one", now=NOW)
        await asked.post(end.url(POST), key="k3y", now=NOW)
    assert not any("authorization" in heard.fields for heard in end.heard)


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_not_there_is_not_listed_yet(end, status):
    end.on(JSON, reply(status, b'{"error": "not found"}'))
    assert await look(end) == NotListed("not_listed_yet")
    assert len(end.heard) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(STATELESS, id="no-state"),
        pytest.param(b"<!doctype html>", id="a-page"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="no-json"),
        pytest.param(b"[]", id="no-object"),
        pytest.param(b"{}", id="no-episode"),
    ],
)
async def test_where_the_json_says_no_state_the_markdown_is_read(end, body):
    end.on(JSON, reply(body=body)).on(MARKDOWN, reply(body=PAGE))
    found = await look(end)
    assert (found.state, found.form) == ("queued", "markdown")
    assert end.heard[1].fields["accept"] == "text/markdown, text/plain"
    assert end.heard[1].fields["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("fallback", "reason"),
    [
        pytest.param(reply(body=PAGE_WITHOUT_STATE), None, id="no-state-either"),
        pytest.param(reply(body=b"<html>"), "html_page", id="a-page"),
        pytest.param(reply(404), None, id="not-there"),
        pytest.param(reply(503), "http_503", id="out-of-order"),
        pytest.param(reset, "connection_lost", id="no-answer"),
    ],
)
@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (STATELESS, LookupFailed("state_missing")),
        (b"<html>", LookupFailed("html_page", 200)),
    ],
)
async def test_where_the_markdown_helps_no_more_the_jsons_failure_stands(
    end, body, failed, fallback, reason
):
    end.on(JSON, reply(body=body)).on(MARKDOWN, fallback)
    detail = f"nor does the Markdown help: {reason}" if reason else ""
    assert await look(end) == replace(failed, detail=detail)


async def test_the_wait_that_the_markdown_asks_for_is_kept(end):
    end.on(JSON, reply(body=STATELESS)).on(MARKDOWN, reply(429, Retry_After="600"))
    failed = await look(end)
    assert (failed.reason, failed.http) == ("state_missing", None)  # a 403 there freezes nothing
    assert failed.retry_after == timedelta(minutes=10)


@pytest.mark.parametrize("status", [204, 401, 403, 429, 500, 503])
async def test_a_status_that_says_nothing_of_the_episode_is_a_failure(end, status):
    end.on(JSON, reply(status, Retry_After="30"))
    assert await look(end) == LookupFailed(f"http_{status}", status, timedelta(seconds=30))
    assert len(end.heard) == 1  # the Markdown would fare no better


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reset, "connection_lost"),
        (cut_short(reply(body=PROCESSED)[:-1]), "truncated"),
        (reply(body=b" " * (MAX_BODY_BYTES + 1)), "too_large"),
        (moved("file:///etc/passwd"), "bad_redirect"),
    ],
)
async def test_no_answer_is_a_failure_and_never_not_listed(end, answer, reason):
    end.on(JSON, answer)
    assert await look(end) == LookupFailed(reason)


async def test_a_redirect_within_the_origin_is_followed_with_the_token(end):
    end.on(JSON, moved("/new")).on("/new", reply(body=PROCESSED))
    assert (await look(end)).state == "processed"
    assert end.heard[1].fields["authorization"] == "Bearer t0ken"


async def test_a_redirect_away_is_refused(end):
    async with far_end("127.0.0.2") as other:
        end.on(JSON, moved(other.url()))
        assert await look(end) == LookupFailed("redirected_away")
        assert other.connections == 0


# --- requesting -----------------------------------------------------------------------------


async def test_a_request_carries_its_key_and_nothing_else(end):
    end.on(POST, reply(202, b'{"status": "queued"}'))
    assert await request(end) == PostAnswered(
        202, digest=sha256(b'{"status": "queued"}').hexdigest()
    )
    (heard,) = end.heard
    assert heard.line == f"POST {POST} HTTP/1.1"
    assert dict(heard.fields) == {
        "host": f"127.0.0.1:{end.port}",
        "accept": "application/json",
        "authorization": "Bearer t0ken",
        "idempotency-key": "k3y",
        "content-length": "0",
        "user-agent": "test",
        "accept-encoding": "gzip",
    }


@pytest.mark.parametrize("status", [200, 201, 204, 303, 307, 400, 401, 404, 409, 422, 429, 500])
async def test_every_status_is_an_answer_and_none_is_followed(end, status):
    end.on(POST, reply(status, Location="/elsewhere"))
    assert (await request(end)).http == status
    assert len(end.heard) == 1


async def test_a_location_that_cannot_be_read_costs_no_answer(end):
    end.on(POST, reply(303, Location="javascript:alert(1)"))
    assert (await request(end)).http == 303


WAITS = [
    pytest.param({}, b"", None, id="nothing-said"),
    pytest.param({"Retry_After": "30"}, b"", 30, id="header"),
    pytest.param({"Retry_After": "-1"}, b"", 0, id="negative"),
    pytest.param({"Retry_After": "0"}, b'{"retry_after_seconds": 9}', 0, id="zero-in-the-header"),
    pytest.param({"Retry_After": "30"}, b'{"retry_after_seconds": 9}', 30, id="header-and-body"),
    pytest.param({"Retry_After": "soon"}, b'{"retry_after_seconds": 9}', 9, id="unread-header"),
    pytest.param({}, b'{"retry_after_seconds": 9}', 9, id="body"),
    pytest.param({}, b'{"retry_after_seconds": 1.5}', 1.5, id="a-fraction"),
    pytest.param({}, b'{"retry_after_seconds": -5}', 0, id="negative-in-the-body"),
    pytest.param({}, b'{"retry_after_seconds": 1e999}', MAX_WAIT_S, id="infinite"),
    pytest.param({}, b'{"retry_after_seconds": NaN}', None, id="not-a-number"),
    pytest.param({}, b'{"retry_after_seconds": true}', None, id="a-truth"),
    pytest.param({}, b'{"retry_after_seconds": "9"}', None, id="a-string"),
    pytest.param({}, b'{"retry_after_seconds": null}', None, id="null"),
    pytest.param({}, b'["retry_after_seconds"]', None, id="a-list"),
    pytest.param({}, b"\xff\xfe\xfa", None, id="no-text"),
    pytest.param({}, b"[" * 60_000, None, id="deep"),
    pytest.param({}, b'{"retry_after_seconds": ' + b"9" * 5000 + b"}", None, id="a-huge-number"),
]


@pytest.mark.parametrize(("fields", "body", "seconds"), WAITS)
async def test_a_wait_is_read_from_the_header_or_else_the_body(end, fields, body, seconds):
    end.on(POST, reply(429, body, **fields)).on(JSON, reply(503, body, **fields))
    wait = None if seconds is None else timedelta(seconds=seconds)
    assert (await request(end)).retry_after == wait
    assert (await look(end)).retry_after == wait


async def test_the_same_body_has_the_same_digest_and_another_another(end):
    end.on(POST, reply(500, b"a"), reply(502, b"a"), reply(500, b"b"))
    first, second, third = [(await request(end)).digest for _ in range(3)]
    assert first == second != third


async def test_a_connection_that_breaks_after_the_request_lost_it(end):
    end.on(POST, reset)
    assert await request(end) == PostLost("connection_lost")
    assert len(end.heard) == 1


async def test_a_key_that_cannot_be_written_is_no_exception(end):
    async with stenobird(end.origin) as asked:
        outcome = await asked.post(end.url(POST), key="k\r\n3y", now=NOW)
    assert outcome == PostLost("protocol")  # on the safe side: a GET will tell
    assert not end.heard


async def test_where_nobody_listens_nothing_was_sent():
    async with far_end() as gone:
        pass
    assert await request(gone) == PostNotSent("refused")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2:{}/", "https://127.0.0.1:{}/", "http://127.0.0.1:1/"]
)
async def test_a_request_to_another_origin_is_a_bug(end, url):
    async with stenobird(end.origin) as asked:
        with pytest.raises(ValueError, match="own origin"):
            await asked.post(url.format(end.port), key="k3y", now=NOW)
    assert end.connections == 0


async def test_a_request_to_no_address_at_all_was_not_sent(end):
    assert await request(end, "/\x01") == PostNotSent("bad_url")
