"""Publishers who mean harm, all at once: each costs its own poll, with one reason, and nothing else.

One real process polls them side by side with a feed that is fine. Where addresses lead, and what a
guard against private ones sees, is tested in ``tests/adapters``; here they are on loopback.
"""

import asyncio
import gzip
import json
import os
import sys
import zlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.adapters.server import Play, cut_short, endless, far_end, moved, reply, reset

pytestmark = pytest.mark.anyio

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
MANY = b" ".join(b'a%d="x"' % n for n in range(40_000))
BOMB = gzip.compress(bytes(50 * MIB))
START = b"HTTP/1.1 200 Said\r\n"

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
    "chunks that are none": (
        cut_short(START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
        "protocol",
    ),
    "a reset": (reset, "connection_lost"),
    "a redirect to itself": (moved("/feed"), "redirect_loop"),
    "a redirect to a file": (moved("file:///etc/passwd"), "bad_redirect"),
    "a redirect to FTP": (moved("ftp://127.0.0.1/feed"), "bad_redirect"),
    "a redirect to data": (moved("data:text/xml,<rss/>"), "bad_redirect"),
    "a redirect to nowhere": (moved("http://:0/"), "bad_redirect"),
    "a path for a body": (ok(b"/etc/passwd"), "not_a_feed"),
    "an address for a body": (ok(b"file:///etc/passwd"), "not_a_feed"),
    "a billion laughs": (ok(entities(*LAUGHS, b'<!ENTITY x "&x9;">')), "entities"),
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

FORGED = b"Robert'); DROP TABLE episodes;--&#10;&lt;3&gt;forged\x1b[2J\xe2\x80\xae \xc2\x9b31m\xe2\x80\xa8x"
FINE = [item(1, b"A title"), item(2, FORGED), item(3, b"&#xD800;&#0;" + b"\x00")]


async def run_once(config: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "--config", str(config), "run", "--once"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    _, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, log.decode()


@pytest.mark.timeout(120)
async def test_each_costs_its_own_poll_with_one_reason_and_nothing_else(tmp_path):
    names = {f"p{n}": name for n, name in enumerate(HARM)}
    config = CONFIG.format(directory=tmp_path)
    async with AsyncExitStack() as stack:
        for key, name in [*names.items(), ("fine", "")]:
            end = await stack.enter_async_context(far_end())
            path = f"/{SECRET}/feed?token={SECRET}"
            play = HARM[name][0] if name else ok(feed(b"".join(FINE)))
            end.on(path, play).on("/feed", play)
            user = f"me:{SECRET}@"
            url = end.url(path).replace("//", f"//{user}", 1)
            config += PODCAST.format(name=key, url=url)
        (tmp_path / "config.toml").write_text(config)
        status, log = await run_once(tmp_path / "config.toml")
    lines = [json.loads(line) for line in log.split("\n") if line]
    polled = {line["podcast"]: line for line in lines if line["event"] == "feed.polled"}
    assert {names[key]: polled[key].get("reason") for key in names} == {
        name: reason for name, (_, reason) in HARM.items()
    }
    assert (polled["fine"]["outcome"], polled["fine"]["new"]) == ("ok", 3)
    assert polled["fine"]["took_ms"] < 4000
    assert status == 1
    assert SECRET not in log
    assert all(character.isprintable() for line in log.split("\n") for character in line)
    assert {line["level"] for line in lines} == {"info", "warning"}
