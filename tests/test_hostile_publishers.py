"""Publishers who mean harm, all at once: each costs its own poll, with one reason, and nothing else.

One real process polls them side by side with a feed that is fine. Where addresses lead, and what a
guard against private ones sees, is tested in ``tests/adapters``; here they are on loopback.
"""

import asyncio
import gzip
import json
import os
import sqlite3
import sys
import zlib
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.adapters.sandbox import Sandbox
from monitor.demo import status
from monitor.jobs.context import Context
from tests.adapters.server import Play, cut_short, endless, far_end, moved, reply, reset
from tests.living import Life

MIB = 1_048_576
SECRET = "s3cret-token"
CONFIG = """
database = "sqlite:///{directory}/hostile.db"
log.format = "json"
stenobird.base_url = "http://127.0.0.1:9"
[network]
allow_private = true
deadline = "4s"
max_body = "4MiB"
"""
PODCAST = """
[[podcasts]]
name = "{name}"
feed = "{url}"
stenobird = "{name}"
backfill = "none"
"""
ITEM = (
    b"<item><guid>%d</guid><title>%b</title>"
    b'<enclosure url="https://cdn.example/%d.mp3" type="audio/mpeg"/></item>'
)


def item(n: int, title: bytes = b"") -> bytes:
    return ITEM % (n, title, n)


def feed(inside: bytes, prologue: bytes = b"") -> bytes:
    return b"<?xml version='1.0'?>%b<rss><channel>%b</channel></rss>" % (prologue, inside)


def ok(body: bytes, **fields: str) -> bytes:
    return reply(200, body, **fields)


def zipped(body: bytes, coding: str = "gzip") -> bytes:
    return ok(gzip.compress(body), Content_Encoding=coding)


def entities(*declarations: bytes) -> bytes:
    return feed(item(1, b"&x;"), b"<!DOCTYPE rss [%b]>" % b"".join(declarations))


LAUGHS = [b'<!ENTITY x0 "ha">'] + [
    b'<!ENTITY x%d "%b">' % (n, b"&x%d;" % (n - 1) * 10) for n in range(1, 10)
]
WIDE = entities(*LAUGHS, b'<!ENTITY x "&x9;">').decode().encode("utf-16")
FORGED = b"Robert'); DROP TABLE episodes;--&#10;&lt;3&gt;forged\x1b[2J\xe2\x80\xae \xc2\x9b31m\xe2\x80\xa8x"
MANY = b" ".join(b'a%d="x"' % n for n in range(40_000))
BOMB = gzip.compress(bytes(50 * MIB))
START = b"HTTP/1.1 200 Said\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"

# name → what the publisher does, and the one reason of the poll
HARM: dict[str, tuple[Play | bytes, str]] = {
    "a body above the limit": (ok(feed(b" " * 5 * MIB)), "too_large"),
    "a body that never ends": (endless(START + b"\r\n", b"x" * 65_536), "too_large"),
    "a gzip bomb": (ok(BOMB, Content_Encoding="gzip"), "too_large"),
    "a bomb in a bomb": (ok(gzip.compress(BOMB), Content_Encoding="gzip"), "not_a_feed"),
    "two codings": (ok(gzip.compress(BOMB), Content_Encoding="gzip, gzip"), "bad_encoding"),
    "brotli, not asked for": (ok(b"\x1b" * 99, Content_Encoding="br"), "bad_encoding"),
    "zstd, not asked for": (ok(b"(\xb5/\xfd" * 99, Content_Encoding="zstd"), "bad_encoding"),
    "deflate, not asked for": (
        ok(zlib.compress(bytes(MIB)), Content_Encoding="deflate"),
        "bad_encoding",
    ),
    "gzip that is none": (ok(b"no gzip", Content_Encoding="gzip"), "bad_encoding"),
    "gzip cut short": (ok(gzip.compress(feed(b""))[:-9], Content_Encoding="gzip"), "truncated"),
    "less than it promised": (cut_short(ok(feed(b""), Content_Length="9999")), "truncated"),
    "a byte a second": (endless(START + b"\r\n", b" ", 0.2), "timeout"),
    "a header a second": (endless(START, b"X-A: b\r\n", 0.2), "timeout"),
    "a header without end": (endless(START + b"X-A: ", b"x" * 65_536), "headers_too_large"),
    "nothing at all": (endless(b"", b"", 0.2), "timeout"),
    "no HTTP": (cut_short(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol"),
    "chunks that are none": (cut_short(CHUNKED + b"zz\r\nx\r\n"), "protocol"),
    "a chunk's size without end": (endless(CHUNKED + b"5;", b"x" * 999, 0.1), "timeout"),
    "trailers without end": (endless(CHUNKED + b"0\r\n", b"X-A: b\r\n" * 999), "protocol"),
    "headers without end": (endless(START, b"X-A: b\r\n" * 999), "protocol"),
    "hints without end": (endless(b"", b"HTTP/1.1 103 Early\r\n\r\n", 0.1), "timeout"),
    "a negative length": (cut_short(START + b"Content-Length: -5\r\n\r\n<rss/>"), "protocol"),
    "two lengths": (ok(feed(b""), Content_length="5"), "protocol"),
    "a length and chunks": (ok(b"0\r\n\r\n", Transfer_Encoding="chunked"), "protocol"),
    "a NUL in a header": (ok(feed(b""), ETag="\0"), "protocol"),
    "an error page in colours": (reply(500, FORGED, Server="\x1b[2J"), "http_500"),
    "a reset": (reset, "connection_lost"),
    "a redirect to itself": (moved("/feed"), "redirect_loop"),
    "a redirect to a file": (moved("file:///etc/passwd"), "bad_redirect"),
    "a redirect to FTP": (moved("ftp://127.0.0.1/feed"), "bad_redirect"),
    "a redirect to data": (moved("data:text/xml,<rss/>"), "bad_redirect"),
    "a redirect in colours": (moved("/\x1b[2J"), "bad_redirect"),
    "a redirect to nowhere": (moved("http://:0/"), "bad_redirect"),
    "a path for a body": (ok(b"/etc/passwd"), "not_a_feed"),
    "an address for a body": (ok(b"file:///etc/passwd"), "not_a_feed"),
    "a billion laughs": (ok(entities(*LAUGHS, b'<!ENTITY x "&x9;">')), "entities"),
    "a billion laughs in UTF-16": (ok(WIDE), "entities"),
    "a quadratic entity": (zipped(entities(b'<!ENTITY x "%b">' % (b"x" * 9999))), "entities"),
    "an external entity": (ok(entities(b'<!ENTITY x SYSTEM "file:///etc/passwd">')), "entities"),
    "a parameter entity": (ok(entities(b'<!ENTITY % p SYSTEM "http://127.0.0.1:9/">')), "entities"),
    "40,000 attributes": (ok(feed(b"<item %b/>%b" % (MANY, item(1)))), "too_many_attributes"),
    "40,000 attributes in an item": (
        ok(feed(b"<item><x %b/><guid>1</guid></item>" % MANY)),
        "item_too_large",
    ),
    "1,000 attributes in an item": (
        ok(feed(b"<item><x %b/><guid>1</guid></item>" % MANY[:10_000])),
        "too_many_attributes",
    ),
    "an item 10,000 deep": (
        ok(feed(b"<item>%b%b<guid>1</guid></item>" % (b"<a>" * 10_000, b"</a>" * 10_000))),
        "too_deep",
    ),
    "30,000 items": (zipped(feed(b"<item/>".replace(b"/", b"></item") * 30_000)), "too_many_items"),
    "an endless title": (ok(feed(item(1, b"x" * 300_000))), "item_too_large"),
}

LINKED = b"A title</title><link>file:///etc/passwd</link><title>"
FINE = [item(1, LINKED), item(2, FORGED), item(3, b"&#xD800;&#0;" + b"\x00")]
LOCAL = [
    b'<item><guid>%d</guid><enclosure url="%b" type="audio/mpeg"/></item>' % place
    for place in enumerate([b"file:///etc/passwd", b"/etc/passwd", b"javascript:x//.mp3"], start=4)
]


async def run_once(config: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "--config", str(config), "run", "--once"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    _, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, log.decode()


@pytest.mark.anyio
@pytest.mark.timeout(120)
async def test_each_costs_its_own_poll_with_one_reason_and_nothing_else(tmp_path):
    names = {f"p{n}": name for n, name in enumerate(HARM)}
    config = CONFIG.format(directory=tmp_path)
    async with AsyncExitStack() as stack:
        for key, name in [*names.items(), ("fine", "")]:
            end = await stack.enter_async_context(far_end())
            path = f"/{SECRET}/feed?token={SECRET}"
            play = HARM[name][0] if name else ok(feed(b"".join(FINE + LOCAL)))
            end.on(path, play).on("/feed", play)
            user = f"me:{SECRET}@"
            url = end.url(path).replace("//", f"//{user}", 1)
            config += PODCAST.format(name=key, url=url)
        (tmp_path / "config.toml").write_text(config)
        code, log = await run_once(tmp_path / "config.toml")
    lines = [json.loads(line) for line in log.split("\n") if line]
    polled = {line["podcast"]: line for line in lines if line["event"] == "feed.polled"}
    assert {names[key]: polled[key].get("reason") for key in names} == {
        name: reason for name, (_, reason) in HARM.items()
    }
    fine = polled["fine"]
    assert (fine["outcome"], fine["items"], fine["new"]) == ("ok", len(FINE + LOCAL), len(FINE))
    database = tmp_path / "hostile.db"
    with closing(sqlite3.connect(database)) as conn:
        assert conn.execute("SELECT count(*) FROM episodes").fetchone() == (len(FINE),)
    assert b"/etc/passwd" not in database.read_bytes()
    assert code == 1
    assert SECRET not in log
    assert all(character.isprintable() for line in log.split("\n") for character in line)
    assert {line["level"] for line in lines} == {"info", "warning"}


class Impatient(Life):
    """A life whose parser has half a second: the daemon's has thirty."""

    def _context(self, *given) -> Context:
        return replace(super()._context(*given), sandbox=Sandbox(deadline_s=0.5))


def test_a_document_that_the_parser_would_ponder_for_minutes_is_given_up_for_one_reason():
    with Impatient(new=0) as life:
        life.publisher.faults.next(status(200, body=feed(b"<![CDATA[" * 200_000)))
        life.run(4)
        assert [line["reason"] for line in life.polled[:3]] == [None, "too_slow", None]
