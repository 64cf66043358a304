"""The connection layer against a real server on loopback."""

import asyncio
import gzip
import os
import re
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from monitor.adapters import guard
from monitor.adapters.http import KEPT_BYTES, Answer, Failed, Http
from tests.adapters.server import (
    FarEnd,
    Play,
    Taking,
    cut_short,
    endless,
    far_end,
    moved,
    reply,
    reset,
    until,
)

pytestmark = pytest.mark.anyio

MIB = 2**20
UNTRUSTED = (
    Path(__file__).parent / "untrusted.pem"
)  # a certificate that nobody signed, with its key


def client(**changed: object) -> Http:
    defaults = {
        "user_agent": "podcast-monitor/test (+mailto:x@example.com)",
        "deadline": timedelta(seconds=10),
        "per_host_interval": timedelta(0),
        "allow_private": True,
    }
    return Http(**(defaults | changed))


@pytest.fixture
async def end() -> AsyncIterator[FarEnd]:
    async with far_end() as end:
        yield end


async def get(url: str, *, http: dict[str, object] | None = None, **asked) -> Answer | Failed:
    async with client(**(http or {})) as near:
        return await near.get(url, **({"headers": {}, "max_body_bytes": MIB} | asked))


async def post(url: str, *, http: dict[str, object] | None = None, **fields) -> Answer | Failed:
    async with client(**(http or {})) as near:
        return await near.post(url, headers=fields)


# --- what is said ---------------------------------------------------------------------------


async def test_a_get_says_who_asks_and_that_only_gzip_is_welcome(end):
    end.on("/", reply())
    await get(end.url(), headers={"accept": "text/xml"}, secret_headers={"X-Key": "1"})
    assert dict(end.heard[0].fields) == {
        "host": f"127.0.0.1:{end.port}",
        "accept": "text/xml",
        "x-key": "1",
        "user-agent": "podcast-monitor/test (+mailto:x@example.com)",
        "accept-encoding": "gzip",
    }


async def test_a_post_is_empty_and_says_so(end):
    end.on("/", reply(202))
    await post(end.url(), **{"Idempotency-Key": "abc"})
    assert end.heard[0].line == "POST / HTTP/1.1"
    assert end.heard[0].fields["content-length"] == "0"
    assert end.heard[0].fields["idempotency-key"] == "abc"
    assert not {"transfer-encoding", "content-type"} & set(end.heard[0].fields)


async def test_cookies_are_never_sent_back(end):
    crumbs = {"Set_Cookie": "session=1; Path=/"}
    end.on("/", reply(**crumbs)).on("/from", reply(302, Location="/", **crumbs))
    async with client() as near:
        for path in ("/", "/from", "/"):
            await near.get(end.url(path), headers={}, max_body_bytes=MIB)
        await near.post(end.url(), headers={})
        assert not list(near._client.cookies.jar)  # nor kept: a daemon's jar would only grow
    assert len(end.heard) == 5
    assert not any("cookie" in heard.fields for heard in end.heard)


async def test_the_environment_decides_nothing(end, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with far_end() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
        end.on("/", reply())
        assert (await get(end.url())).http == 200
        assert proxy.connections == 0
    assert "authorization" not in end.heard[0].fields


async def test_credentials_in_an_address_become_an_authorization(end):
    end.on("/feed", reply())
    url = end.url("/feed").replace("http://", "http://user:p%40ss@")
    assert (await get(url)).http == 200
    assert end.heard[0].line == "GET /feed HTTP/1.1"
    assert end.heard[0].fields["authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        pytest.param("/a b?q=a b", "/a%20b?q=a%20b", id="blanks"),
        pytest.param("/é?q=ü", "/%C3%A9?q=%C3%BC", id="letters"),
        pytest.param("/a%2Fb//c?sig=a%2Bb+c%3D", "/a%2Fb//c?sig=a%2Bb+c%3D", id="escapes"),
        pytest.param("/feed?token=/?:@", "/feed?token=/?:@", id="marks"),
        pytest.param("/feed#part", "/feed", id="a-fragment"),
        pytest.param("?page=2", "/?page=2", id="no-path"),
        pytest.param("/" + "x" * 60_000, "/" + "x" * 60_000, id="very-long"),
    ],
)
async def test_an_address_is_asked_for_as_it_was_meant(end, asked, path):
    end.on(path, reply())
    assert (await get(end.url(asked))).http == 200


async def test_a_header_with_a_line_break_is_never_written(end):
    assert await get(end.url(), headers={"X-Key": "a\r\nX-Forged: b"}) == Failed("protocol")
    assert not end.heard


async def test_a_header_that_is_not_ascii_is_never_written(end):
    assert await get(end.url(), secret_headers={"X-Key": "é"}) == Failed("protocol")
    assert not end.heard


# --- bodies ---------------------------------------------------------------------------------


async def test_a_body_without_a_receiver_is_returned_whole(end):
    end.on("/", reply(body=b"x" * 100_000))
    answer = await get(end.url())
    assert answer.body == b"x" * 100_000
    assert (answer.wire_bytes, answer.body_bytes, answer.complete) == (100_000, 100_000, True)


@pytest.mark.parametrize("coding", ["gzip", "GZip", "x-gzip", " gzip "])
async def test_gzip_is_unzipped(end, coding):
    zipped = gzip.compress(b"<rss/>" * 1000)
    end.on("/", reply(body=zipped, Content_Encoding=coding))
    pieces: list[bytes] = []
    answer = await get(end.url(), receiver=Taking(lambda piece: not pieces.append(piece)))
    assert b"".join(pieces) == b"<rss/>" * 1000
    assert answer.body == b""
    assert (answer.wire_bytes, answer.body_bytes) == (len(zipped), 6000)


async def test_an_empty_body_said_to_be_gzip_is_empty(end):
    end.on("/", reply(Content_Encoding="gzip"))
    assert (await get(end.url())).body_bytes == 0


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "br, gzip", "compress"])
async def test_an_encoding_nobody_asked_for_is_refused(end, coding):
    end.on("/", reply(body=gzip.compress(b"x"), Content_Encoding=coding))
    assert await get(end.url()) == Failed("bad_encoding")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(b"x") + b"trailing", id="bytes-after-the-stream"),
        pytest.param(gzip.compress(b"x" * 999)[:-8] + b"\0" * 8, id="a-checksum-that-is-wrong"),
        pytest.param(b"<rss/> not zipped at all", id="no-gzip"),
    ],
)
async def test_a_broken_gzip_stream_is_refused(end, body):
    end.on("/", reply(body=body, Content_Encoding="gzip"))
    assert await get(end.url()) == Failed("bad_encoding")


ZIPPED = gzip.compress(os.urandom(3000))
CLOSED = "HTTP/1.1 200 Said\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(CLOSED.encode() + ZIPPED[:-1], id="gzip-cut-by-a-byte"),
        pytest.param(CLOSED.encode() + ZIPPED[:1500], id="gzip-cut-in-the-middle"),
        pytest.param(
            reply(body=ZIPPED[:1500], Content_Encoding="gzip"), id="gzip-cut-at-its-source"
        ),
        pytest.param(reply(body=b"x" * 5000)[:-1], id="content-length-short-by-a-byte"),
        pytest.param(reply(body=b"x" * 5000)[:-5000], id="no-byte-of-a-body"),
        pytest.param(
            b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="chunked"
        ),
    ],
)
async def test_a_truncated_body_is_no_answer(end, answer):
    end.on("/", cut_short(answer))
    assert await get(end.url()) == Failed("truncated")


async def test_a_body_over_the_limit_on_the_wire_is_too_large(end):
    end.on("/", endless(b"HTTP/1.1 200 Said\r\n\r\n", b"x" * 65_536))
    assert await get(end.url()) == Failed("too_large")
    await until(lambda: end.open == 0)


async def test_a_body_of_exactly_the_limit_is_not_too_large(end):
    end.on("/", reply(body=b"x" * 5000))
    assert (await get(end.url(), max_body_bytes=5000)).complete
    assert await get(end.url(), max_body_bytes=4999) == Failed("too_large")


async def test_a_gzip_bomb_is_too_large_before_it_takes_memory(end):
    squeeze = zlib.compressobj(wbits=31)
    bomb = b"".join(squeeze.compress(bytes(MIB)) for _ in range(128)) + squeeze.flush()
    end.on("/", reply(body=bomb, Content_Encoding="gzip"))
    async with client() as near:
        tracemalloc.start()
        asked = near.get(
            end.url(), headers={}, max_body_bytes=100 * MIB, receiver=Taking(lambda _piece: True)
        )
        assert await asked == Failed("too_large")
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 2 * MIB


async def test_a_receiver_that_has_enough_ends_the_connection(end):
    sent = count()

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 Said\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            next(sent)
            writer.write(b"x" * 65_536)
            await writer.drain()

    end.on("/", play)
    answer = await get(end.url(), receiver=Taking(lambda _piece: False))
    assert (answer.http, answer.complete) == (200, False)
    assert answer.body_bytes <= 65_536
    await until(lambda: end.open == 0)
    assert next(sent) * 65_536 < 20 * MIB  # what the kernel's buffers took, of 1 GB


async def test_what_a_receiver_raises_is_passed_on(end):
    def receive(_piece: bytes) -> bool:
        raise ValueError("a bug, not a bad address")

    end.on("/", reply(body=b"x"))
    with pytest.raises(ValueError, match="a bug"):
        await get(end.url(), receiver=Taking(receive))
    await until(lambda: end.open == 0)


@pytest.mark.parametrize("status", [201, 202, 304, 400, 404, 429, 500, 503])
async def test_only_a_200_reaches_the_receiver(end, status):
    end.on("/", reply(status, b"" if status == 304 else b"why", Retry_After="7"))
    answer = await get(end.url(), receiver=Taking(lambda _piece: pytest.fail("received")))
    assert (answer.http, answer.headers["retry-after"]) == (status, "7")
    assert answer.body == (b"" if status == 304 else b"why")


async def test_of_the_body_that_explains_a_status_only_the_start_is_kept(end):
    end.on("/", endless(b"HTTP/1.1 500 Said\r\n\r\n", b"x" * 10_007))
    answer = await get(end.url(), max_body_bytes=10)
    assert (answer.http, answer.body) == (500, b"x" * KEPT_BYTES)


async def test_where_an_explanation_is_cut_does_not_depend_on_its_packets(end):
    page = os.urandom(100_000)
    end.on("/", reply(500, gzip.compress(page), Content_Encoding="gzip"), reply(500, page))
    for _ in range(2):
        assert (await get(end.url())).body == page[:KEPT_BYTES]


UNREADABLE = [
    pytest.param(reply(503, b"zip", Content_Encoding="br", Retry_After="7"), id="in-brotli"),
    pytest.param(reply(503, b"zip", Content_Encoding="gzip", Retry_After="7"), id="broken-gzip"),
    pytest.param(reply(503, b"whole", Retry_After="7")[:-5], id="truncated"),
]


@pytest.mark.parametrize("answer", UNREADABLE)
@pytest.mark.parametrize("verb", [get, post])
async def test_a_status_stands_though_its_explanation_cannot_be_read(end, answer, verb):
    end.on("/", cut_short(answer))
    heard = await verb(end.url())
    assert (heard.http, heard.headers["retry-after"]) == (503, "7")


@pytest.mark.parametrize("verb", [get, post])
async def test_a_status_stands_though_its_explanation_never_ends(end, verb):
    end.on("/", endless(b"HTTP/1.1 202 Said\r\nContent-Length: 99999\r\n\r\n", b"x", 0.02))
    assert (await verb(end.url(), http=SHORT)).http == 202


# --- redirects ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "permanent"),
    [
        ((301,), True),
        ((308,), True),
        ((301, 308, 301), True),
        ((302,), False),
        ((303,), False),
        ((307,), False),
        ((301, 302), False),
        ((307, 308), False),
    ],
)
async def test_only_a_chain_of_permanent_redirects_moves_a_feed(end, statuses, permanent):
    for hop, status in enumerate(statuses):
        end.on(f"/{hop}", moved(f"/{hop + 1}", status))
    end.on(f"/{len(statuses)}", reply(body=b"here"))
    answer = await get(end.url("/0"))
    assert answer.body == b"here"
    assert answer.moved_to == (end.url(f"/{len(statuses)}") if permanent else None)


async def test_an_answer_without_a_redirect_moves_nothing(end):
    end.on("/", reply())
    assert (await get(end.url())).moved_to is None


async def test_five_hops_are_followed_and_six_are_a_loop(end):
    for hop in range(7):
        end.on(f"/{hop}", moved(f"/{hop + 1}"))
    end.on("/6", reply())
    assert (await get(end.url("/1"))).http == 200
    end.heard.clear()
    assert await get(end.url("/0")) == Failed("redirect_loop")
    assert len(end.heard) == 6


async def test_a_loop_is_seen_when_it_closes(end):
    end.on("/a", moved("/b")).on("/b", moved("/a"))
    assert await get(end.url("/a")) == Failed("redirect_loop")
    assert len(end.heard) == 2


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "javascript:alert(1)",
        "data:text/xml,x",
        "https:",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "/\x01",
        "",
    ],
)
async def test_a_redirect_to_nowhere_we_go_is_not_followed(end, location):
    end.on("/", moved(location))
    assert await get(end.url()) == Failed("bad_redirect")
    assert (await post(end.url())).http == 302
    assert len(end.heard) == 2


async def test_a_redirect_without_a_location_is_not_followed(end):
    end.on("/", reply(302))
    assert await get(end.url()) == Failed("bad_redirect")


@pytest.mark.parametrize("location", ["/caf\xe9", "/caf%C3%A9"])
async def test_a_location_in_plain_utf8_is_followed_and_costs_a_post_no_answer(end, location):
    end.on("/", moved(location.encode().decode("latin-1"))).on("/caf%C3%A9", reply(body=b"here"))
    assert (await get(end.url())).body == b"here"
    answer = await post(end.url())
    assert (answer.http, answer.headers["location"]) == (302, location)


async def test_credentials_in_an_address_survive_a_redirect_within_its_origin(end):
    async with far_end("127.0.0.2") as other:
        end.on("/feed", moved(end.url("/new"))).on("/new", moved("/newer"))
        end.on("/newer", moved(other.url()))
        other.on("/", reply())
        url = end.url("/feed").replace("http://", "http://user:p%40ss@")
        assert (await get(url)).http == 200
        hops = [*end.heard, *other.heard]
    said = [hop.fields.get("authorization") for hop in hops]
    assert said == ["Basic dXNlcjpwQHNz"] * 3 + [None]


async def test_secrets_stay_with_their_origin_and_do_not_come_back(end):
    secret = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret"}
    public = {"Accept": "text/xml", "If-None-Match": '"1"'}
    async with far_end("127.0.0.2") as other:
        end.on("/", moved("/near")).on("/near", moved(other.url())).on("/back", reply())
        other.on("/", moved(end.url("/back")))
        assert (await get(end.url(), headers=public, secret_headers=secret)).http == 200
        hops = [*end.heard[:2], *other.heard, *end.heard[2:]]
    assert ["authorization" in hop.fields for hop in hops] == [True, True, False, False]
    assert [b"s3cret" in hop.head for hop in hops] == [True, True, False, False]
    assert all(hop.fields["if-none-match"] == '"1"' for hop in hops)


async def test_another_port_is_another_origin(end):
    async with far_end() as other:
        end.on("/", moved(other.url()))
        other.on("/", reply())
        await get(end.url(), secret_headers={"X-Api-Key": "s3cret"})
        assert "x-api-key" not in other.heard[0].fields


async def test_a_redirect_away_is_refused_where_only_the_own_origin_will_do(end):
    async with far_end("127.0.0.2") as other:
        end.on("/", moved("/near")).on("/near", moved(other.url()))
        assert await get(end.url(), own_origin_only=True) == Failed("redirected_away")
        assert other.connections == 0
    assert len(end.heard) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_post_follows_no_redirect(end, status):
    end.on("/", moved("/elsewhere", status))
    answer = await post(end.url())
    assert (answer.http, answer.headers["location"]) == (status, "/elsewhere")
    assert len(end.heard) == 1


# --- time -----------------------------------------------------------------------------------

SHORT = {"deadline": timedelta(seconds=0.3)}


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 Said\r\nContent-Length: 99999\r\n\r\n", b"HTTP/1.1 200 Said\r\nX: "]
)
async def test_the_deadline_bounds_a_drip(end, start):
    end.on("/", endless(start, b"x", 0.02))
    began = asyncio.get_running_loop().time()
    assert await get(end.url(), http=SHORT) == Failed("timeout")
    assert asyncio.get_running_loop().time() - began < 1
    await until(lambda: end.open == 0)


async def test_all_hops_share_one_deadline(end):
    def slowly(answer: bytes) -> Play:
        async def play(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.12)
            writer.write(answer)

        return play

    for hop in range(5):
        end.on(f"/{hop}", slowly(moved(f"/{hop + 1}")))
    assert await get(end.url("/0"), http=SHORT) == Failed("timeout")
    assert len(end.heard) == 3


async def test_a_post_without_an_answer_may_have_had_its_effect(end):
    end.on("/", endless(b"", b"", 0.01))
    assert await post(end.url(), http=SHORT) == Failed("timeout", sent=True)


async def test_waiting_for_a_turn_is_not_part_of_the_deadline(end):
    end.on("/", reply())
    async with client(
        deadline=timedelta(seconds=0.2), per_host_interval=timedelta(seconds=0.3)
    ) as near:
        asked = [near.get(end.url(), headers={}, max_body_bytes=9) for _ in range(2)]
        assert [answer.http for answer in await asyncio.gather(*asked)] == [200, 200]


async def post_in_turn(near, url):
    async with near.turn(url):
        return await near.post(url, headers={})


async def test_one_request_an_origin_at_a_time(end):
    async def play(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(reply())

    end.on("/", play)
    async with client() as near:
        asked = [near.get(end.url(), headers={}, max_body_bytes=9) for _ in range(8)]
        await asyncio.gather(*asked, *(post_in_turn(near, end.url()) for _ in range(4)))
    assert (len(end.heard), end.most_busy) == (12, 1)


async def test_a_slow_origin_holds_up_no_other(end):
    end.on("/", endless(b"", b"", 0.01))
    async with far_end("127.0.0.2") as other, client() as near:
        other.on("/", reply())
        stuck = asyncio.create_task(near.get(end.url(), headers={}, max_body_bytes=9))
        await until(lambda: end.busy == 1)
        assert (await near.get(other.url(), headers={}, max_body_bytes=9)).http == 200
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck


# --- what goes wrong ------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize("verb", [get, post])
async def test_a_refused_connection_sent_nothing(closed_port, verb):
    url = f"http://127.0.0.1:{closed_port}/"
    assert await verb(url) == Failed("refused", sent=False)


@pytest.mark.parametrize("verb", [get, post])
@pytest.mark.parametrize("host", ["name.invalid", "name.invalid.", "b\xfccher.invalid"])
async def test_a_name_that_does_not_resolve_sent_nothing(host, verb):
    assert await verb(f"http://{host}/") == Failed("dns", sent=False)


@pytest.mark.parametrize("verb", [get, post])
async def test_an_address_out_of_reach_sent_nothing(verb):
    assert await verb("http://255.255.255.255:9/") == Failed("unreachable", sent=False)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address whose backlog is full, so that the kernel drops every SYN."""
    with ExitStack() as stack:
        full, *waiting = [stack.enter_context(socket.socket()) for _ in range(5)]
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}/"


@pytest.mark.parametrize("verb", [get, post])
async def test_a_host_that_answers_no_handshake_sent_nothing(black_hole, verb):
    assert await verb(black_hole, http=SHORT) == Failed("connect_timeout", sent=False)


@pytest.mark.parametrize("verb", [get, post])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "feed.xml",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1/\n",
        "http://feeds..invalid/",
        f"http://{'x' * 64}.invalid/",
        f"http://127.0.0.1/{'x' * 70_000}",
    ],
)
async def test_what_is_no_http_address_is_not_asked(url, verb):
    assert await verb(url) == Failed("bad_url", sent=False)


async def test_a_host_that_only_httpx_takes_for_one_is_a_bad_address():
    assert await get("http://a\\b/") == Failed("bad_url", sent=False)


@pytest.mark.parametrize("verb", [get, post])
@pytest.mark.parametrize(
    ("play", "reason"),
    [
        pytest.param(reset, "connection_lost", id="a-reset"),
        pytest.param(cut_short(b""), "connection_lost", id="a-close"),
        pytest.param(cut_short(b"HTTP/1.1 20"), "connection_lost", id="half-a-status-line"),
        pytest.param(cut_short(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol", id="no-http"),
        pytest.param(
            cut_short(b"HTTP/1.1 200 Said\r\nContent-Length: x\r\n\r\n"), "protocol", id="no-length"
        ),
        pytest.param(reply(X="x" * 300_000), "headers_too_large", id="a-huge-header"),
        pytest.param(
            endless(b"HTTP/1.1 200 Said\r\nX: ", b"x" * 9999),
            "headers_too_large",
            id="an-endless-header",
        ),
        pytest.param(
            endless(b"HTTP/1.1 200 Said\r\n", b"X: y\r\n" * 999), "protocol", id="endless-headers"
        ),
    ],
)
async def test_a_connection_that_breaks_after_the_request_may_have_had_its_effect(
    end, verb, play: Play | bytes, reason
):
    end.on("/", play)
    assert await verb(end.url()) == Failed(reason, sent=True)
    await until(lambda: end.open == 0)


async def test_a_header_larger_than_the_engine_takes_by_default_is_fine(end):
    end.on("/", reply(Content_Security_Policy="x" * 60_000))
    assert (await get(end.url())).http == 200


async def test_the_engine_never_repeats_a_post(end):
    """A kept connection that dies under a request, after which aiohttp would repeat a GET."""
    end.on("/", reply()).on("/post", reset)
    async with client() as near:
        await near.get(end.url(), headers={}, max_body_bytes=9)
        assert await near.post(end.url("/post"), headers={}) == Failed("connection_lost")
    assert end.connections == 1
    assert [heard.line for heard in end.heard] == ["GET / HTTP/1.1", "POST /post HTTP/1.1"]


async def test_the_engine_never_repeats_a_get_either(end):
    end.on("/", reply()).on("/reset", reset)
    async with client() as near:
        await near.get(end.url(), headers={}, max_body_bytes=9)
        answer = await near.get(end.url("/reset"), headers={}, max_body_bytes=9)
    assert answer == Failed("connection_lost")
    assert [heard.line for heard in end.heard] == ["GET / HTTP/1.1", "GET /reset HTTP/1.1"]


async def test_every_exchange_read_to_its_end_leaves_its_connection_to_the_next(end):
    end.on("/", reply(body=gzip.compress(b"x"), Content_Encoding="gzip"))
    end.on("/304", reply(304)).on("/404", reply(404, b"no")).on("/moved", moved("/"))
    end.on("/post", reply(202, b"queued"))
    async with client() as near:
        for path in ("/", "/304", "/404", "/moved") * 3:
            await near.get(end.url(path), headers={}, max_body_bytes=9)
            await near.post(end.url("/post"), headers={})
    assert (len(end.heard), end.connections) == (27, 1)


async def test_a_post_after_the_server_closed_the_idle_connection_is_sent_once(end):
    end.on("/", cut_short(reply())).on("/post", reply(202))
    async with client() as near:
        for _ in range(20):
            await near.get(end.url(), headers={}, max_body_bytes=9)
            assert (await post_in_turn(near, end.url("/post"))).http == 202
    assert [heard.line for heard in end.heard] == ["GET / HTTP/1.1", "POST /post HTTP/1.1"] * 20


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 Said\r\nContent-Length: 9\r\n\r\nx"], ids=["head", "body"]
)
async def test_an_exchange_outlives_its_client_by_its_deadline_at_most(end, start):
    """Who closes aiohttp's session may leave a reader waiting; only the deadline frees it."""
    end.on("/", endless(start, b"", 0.01))
    async with client(**SHORT) as near:
        task = asyncio.create_task(near.get(end.url(), headers={}, max_body_bytes=9))
        await until(lambda: end.busy == 1)
    async with asyncio.timeout(1):
        assert (await task).reason in {"connection_lost", "timeout"}


async def test_no_failure_names_an_address(end, closed_port):
    token = "s3cret-token"
    end.on(f"/{token}", reset)
    for url in (
        end.url(f"/{token}"),
        f"http://127.0.0.1:{closed_port}/{token}",
        f"http://{token}.invalid/",
        f"https://127.0.0.1:{end.port}/{token}",
    ):
        failed = await get(url, http=SHORT)
        assert isinstance(failed, Failed)
        assert token not in repr(failed)


# --- TLS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [get, post])
async def test_a_certificate_that_nobody_signed_is_refused(verb):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(UNTRUSTED)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        failed = await verb(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (failed.reason, failed.sent) == ("tls", False)
    assert failed.detail == "self-signed certificate"
    assert not any(asked)


async def test_a_server_that_speaks_no_tls_was_sent_nothing():
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Speak plainly\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        failed = await get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (failed.reason, failed.sent) == ("tls", False)
    assert re.fullmatch(r"[A-Z0-9_]+", failed.detail)


# --- proxy ----------------------------------------------------------------------------------


async def test_a_configured_proxy_is_asked_instead_and_may_be_on_loopback():
    async with far_end() as proxy:
        proxy.on("http://publisher.invalid/feed", reply(body=b"by proxy"))
        http = {"proxy": proxy.origin, "allow_private": False}
        assert (await get("http://publisher.invalid/feed", http=http)).body == b"by proxy"


async def test_a_proxy_that_is_away_or_refuses_sent_nothing(closed_port):
    away = {"proxy": f"http://127.0.0.1:{closed_port}"}
    assert await post("http://publisher.invalid/", http=away) == Failed("proxy", sent=False)
    async with far_end() as proxy:
        proxy.on("publisher.invalid:443", reply(403))
        refusing = {"proxy": proxy.origin}
        assert await post("https://publisher.invalid/", http=refusing) == Failed(
            "proxy", sent=False
        )


# --- the guard, where it sits ---------------------------------------------------------------

GUARDED = {"allow_private": False}


@pytest.mark.parametrize("verb", [get, post])
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "private_address"),
        ("localhost", "private_address"),
        ("0x7f.1", "private_address"),
        ("[::1]", "private_address"),
        ("[::ffff:127.0.0.1]", "private_address"),
        ("0.0.0.0", "private_address"),
        ("LOCALHOST", "private_address"),
        ("127\u30020\u30020\u30021", "private_address"),  # IDNA's other full stop
        ("[64:ff9b::7f00:1]", "private_address"),
        ("[fe80::1%25lo]", "private_address"),
        ("2130706433", "bad_url"),  # aiohttp's own doing
        ("0177.0.0.1", "bad_url"),
        ("\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "bad_url"),  # full width
        ("127.1", "bad_url"),
    ],
)
async def test_no_spelling_of_loopback_is_dialled(end, host, reason, verb):
    assert await verb(f"http://{host}:{end.port}/", http=GUARDED) == Failed(reason, sent=False)
    assert end.connections == 0


@pytest.mark.parametrize(
    "to", ["http://127.0.0.2:{}/", "http://169.254.169.254/latest", "http://[::1]:{}/"]
)
async def test_a_redirect_to_a_private_address_is_not_dialled(end, to, monkeypatch):
    """127.0.0.1 plays the publisher: the one address that counts as public here."""
    really = guard.is_public
    monkeypatch.setattr(guard, "is_public", lambda ip: ip == "127.0.0.1" or really(ip))
    async with far_end("127.0.0.2") as other:
        end.on("/", moved(to.format(other.port)))
        assert await get(end.url(), http=GUARDED) == Failed("private_address", sent=False)
        assert (len(end.heard), other.connections) == (1, 0)


async def test_a_name_that_comes_to_mean_a_private_address_is_not_dialled(end, monkeypatch):
    """DNS rebinding: public when it is first asked for, private an instant later."""
    really = guard.is_public
    monkeypatch.setattr(guard, "is_public", lambda ip: ip == "127.0.0.1" or really(ip))
    answers = iter(["127.0.0.1", "127.0.0.2"])

    def resolve(_host: str, port: int, *_hints: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async with far_end("127.0.0.2") as other:
        end.on("/", moved(f"http://rebinding.example:{other.port}/"))
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        url = f"http://rebinding.example:{end.port}/"
        assert await get(url, http=GUARDED) == Failed("private_address", sent=False)
        assert (len(end.heard), other.connections) == (1, 0)


# --- nothing is left behind -----------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths


async def test_cancelled_requests_leave_no_socket_behind():
    """300 origins, cancelled while connecting, waiting for headers and reading a body."""
    async with far_end("0.0.0.0") as end, client() as near:
        end.on("/wait", endless(b"HTTP/1.1 200 Said\r\nX: ", b"x", 0.05))
        end.on("/drip", endless(b"HTTP/1.1 200 Said\r\n\r\n", b"x" * 500, 0.01))
        before, pieces = open_files(), []
        asked = [
            asyncio.create_task(
                near.get(
                    f"http://127.1.{n // 250}.{n % 250 + 1}:{end.port}/{('wait', 'drip')[n % 2]}",
                    headers={},
                    max_body_bytes=MIB,
                    receiver=Taking(lambda piece: not pieces.append(piece)),
                )
            )
            for n in range(300)
        ]
        reading = (lambda: len(end.heard) >= 200 and pieces, asked[200:])
        waiting = (lambda: len(end.heard) >= 50, asked[100:200])
        for have_begun, tasks in ((lambda: True, asked[:100]), waiting, reading):
            await until(have_begun)
            for task in tasks:
                task.cancel()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        assert pieces
        await until(lambda: end.open == 0 and open_files() <= before)


async def test_deadlines_leave_no_socket_behind(end):
    end.on("/", endless(b"HTTP/1.1 200 Said\r\n\r\n", b"x", 0.005))
    async with client(deadline=timedelta(seconds=0.02)) as near:
        before = open_files()
        for _ in range(40):
            failed = await near.get(end.url(), headers={}, max_body_bytes=MIB)
            assert failed.reason in {"timeout", "connect_timeout"}
        await until(lambda: open_files() <= before)
