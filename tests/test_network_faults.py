"""The network is gone, hangs, breaks or comes in drops: each feed pays for itself, and nothing is lost.

| what | where |
| --- | --- |
| refused, unreachable, a reset, half a status line, no HTTP, endless and huge headers | ``adapters/test_http.py`` |
| a certificate that nobody signed, a server that speaks no TLS | ``adapters/test_http.py`` |
| the deadline over a drip, over all hops; a host that answers no handshake | ``adapters/test_http.py`` |
| bodies that end early, drip, never end, and forty more, side by side | ``test_hostile_publishers.py`` |
| whatever the first POST meets, the effect is one | ``test_jobs.py`` |
"""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from monitor.adapters.http import Answer, Failed, Http
from monitor.daemon import DNS_THREADS
from monitor.demo import reset
from monitor.demo.server import World, serve_in_thread
from tests.adapters.server import cut_short, endless, far_end, reply, until
from tests.living import STEP, Life, Switch
from tests.service import Far, Service, wait_until

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MIB = 1 << 20
PATIENT_S = 10.0
SHORT = timedelta(seconds=0.5)


@asynccontextmanager
async def client(deadline: timedelta = timedelta(seconds=PATIENT_S)) -> AsyncIterator[Http]:
    async with Http(
        user_agent="test", deadline=deadline, per_host_interval=timedelta(), allow_private=True
    ) as http:
        yield http


async def get(http: Http, url: str) -> Answer | Failed:
    return await http.get(url, headers={}, max_body_bytes=MIB)


# --- names ---------------------------------------------------------------------------------


class Resolver:
    """The system's resolver, which for names of one kind never answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = threading.Event()
        self._really = socket.getaddrinfo

    def __call__(self, host, *rest, **named):
        if host is not None and str(host).endswith(".hangs.example"):
            self.asked += 1
            assert self.answers.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._really(host, *rest, **named)


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Resolver]:
    """A stalled getaddrinfo: a nameserver of one's own takes a resolv.conf, and so root."""
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    executor = ThreadPoolExecutor(DNS_THREADS)
    asyncio.get_running_loop().set_default_executor(executor)  # as the daemon does
    yield resolver
    resolver.answers.set()


async def test_fifty_names_that_nobody_resolves_harm_no_healthy_feed(resolver):
    """Of asyncio's own threads there are six here: the seventh dead name would stop every other."""
    async with far_end() as end, client() as http:
        end.on("/", reply(body=b"well"))
        dead = [asyncio.create_task(get(http, f"http://name{n}.hangs.example/")) for n in range(50)]
        await until(lambda: resolver.asked == 50)
        for name in ("127.0.0.1", "localhost"):
            began = time.monotonic()
            answer = await get(http, f"http://{name}:{end.port}/")
            assert isinstance(answer, Answer)
            assert answer.body == b"well"
            assert time.monotonic() - began < PATIENT_S / 10
        resolver.answers.set()
        assert {(failed.reason, failed.sent) for failed in await asyncio.gather(*dead)} == {
            ("dns", False)
        }


async def test_a_name_that_hangs_costs_half_the_deadline_and_sends_nothing(resolver):
    async with client(SHORT) as http:
        began = time.monotonic()
        failed = await get(http, "http://name.hangs.example/")
        took_s = time.monotonic() - began
        resolver.answers.set()
    assert failed == Failed("connect_timeout", sent=False)
    assert 0.2 < took_s < PATIENT_S / 2


async def test_names_come_back_without_a_restart(monkeypatch, resolver):
    resolver.answers.set()
    async with far_end() as end, client() as http:
        end.on("/", reply())
        url = f"http://name.hangs.example:{end.port}/"
        assert await get(http, url) == Failed("dns", sent=False)
        there = socket.getaddrinfo("127.0.0.1", end.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_given, **_named: there)
        answer = await get(http, url)
        assert isinstance(answer, Answer)
        assert answer.http == 200


STALLED = """
import socket, threading
really = socket.getaddrinfo


def getaddrinfo(host, *rest, **named):
    if str(host).endswith(".hangs.example"):
        threading.Event().wait(60)
    return really(host, *rest, **named)


socket.getaddrinfo = getaddrinfo
"""
DEAD = """
[[podcasts]]
name = "dead-{n}"
feed = "http://name{n}.hangs.example/"
stenobird = "dead-{n}"
poll = {{ min = "200ms", max = "2s", per_day = 400000 }}
"""


def test_a_daemon_with_fifty_dead_names_follows_a_healthy_feed_and_stops_in_time(tmp_path):
    far = Far()
    (tmp_path / "sitecustomize.py").write_text(STALLED)
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path, url.replace("127.0.0.1", "localhost"), far)
        service.configure(extra="".join(DEAD.format(n=n) for n in range(50)))
        try:
            daemon = service.start(PYTHONPATH=str(tmp_path))
            wait_until(lambda: len(far.publisher.exchanges) >= 3, "no polls")
            guid = far.publish(300)
            wait_until(lambda: far.replica.state(guid) == "processed", "not requested")
            assert {line["podcast"] for line in daemon.told("feed.polled")} == {"show"}
            assert daemon.stop() == 0
        finally:
            service.end()
    assert [effect.guid for effect in far.replica.effects] == [guid]


# --- connections ---------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<rss>\r\n"
SIZED = b"HTTP/1.1 200 Said\r\nContent-Length: 99\r\n\r\n<rss>"


@pytest.mark.parametrize(
    ("start", "heard"),
    [(b"", False), (b"HTTP/1.1 200 Said\r\nX-A", False), (SIZED, True), (CHUNKED, True)],
    ids=["accepted", "mid-headers", "mid-body", "mid-chunks"],
)
async def test_a_peer_that_vanishes_costs_the_deadline_and_its_socket_is_closed(start, heard):
    """Half open: no FIN, no RST, nothing more, as after a power cut at the other end.

    Of a POST the status counts, once it was heard.
    """
    async with far_end() as end, client(SHORT) as http:
        end.on("/", endless(start, b"", 0.05))
        before = open_files()
        assert await get(http, end.url()) == Failed("timeout")
        answer = await http.post(end.url(), headers={})
        assert isinstance(answer, Answer) if heard else answer == Failed("timeout")
        await until(lambda: open_files() == before + end.open)  # the far end never notices


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 2", SIZED, CHUNKED])
@pytest.mark.parametrize("ending", ["closed", "reset"])
async def test_a_body_that_breaks_off_is_no_answer_and_the_next_request_gets_one(part, ending):
    async def torn(writer: asyncio.StreamWriter) -> None:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.05)  # what was sent arrives before the RST, which overtakes it
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        writer.transport.abort()

    async with far_end() as end, client() as http:
        end.on("/", torn if ending == "reset" else cut_short(part))
        failed = await get(http, end.url())
        assert isinstance(failed, Failed)
        assert failed.sent
        assert failed.reason in {"truncated", "connection_lost"}
        end.on("/", reply(body=b"whole"))
        answer = await get(http, end.url())
        assert isinstance(answer, Answer)
        assert answer.body == b"whole"


async def test_a_drip_of_headers_and_one_of_bytes_hold_up_no_healthy_feed():
    """A byte of each every tenth of a second, at fifty origins; the deadline counts from the start."""
    slow = (endless(b"HTTP/1.1 200 Said\r\nX: ", b"x", 0.1), endless(SIZED[:-5], b"x", 0.1))
    async with far_end("0.0.0.0") as end, client(timedelta(seconds=2)) as http:
        end.on("/0", slow[0]).on("/1", slow[1]).on("/", reply(body=b"well"))
        dripping = [
            asyncio.create_task(get(http, f"http://127.0.2.{n + 1}:{end.port}/{n % 2}"))
            for n in range(50)
        ]
        await until(lambda: end.busy == 50)
        began = time.monotonic()
        answer = await get(http, f"http://127.0.0.1:{end.port}/")
        assert isinstance(answer, Answer)
        assert time.monotonic() - began < 1
        assert {failed.reason for failed in await asyncio.gather(*dripping)} == {"timeout"}


# --- TLS -----------------------------------------------------------------------------------

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl, which makes certificates")


class Authority:
    """A certificate authority of this test's own, and what it signs."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.certificate = place / "ca.pem"
        self._key = place / "ca.key"
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Test CA"),
            *("-keyout", str(self._key), "-out", str(self.certificate), "-days", "2"),
        )

    def sign(self, name: str, *, for_days: int = 2) -> ssl.SSLContext:
        """Return a server's context with a certificate for *name*; negative days: long over."""
        key, asked, signed = (self._place / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(asked)),
        )
        self._openssl(
            *("x509", "-req", "-in", str(asked), "-copy_extensions", "copy"),
            *("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial"),
            *("-days", str(for_days), "-out", str(signed)),
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(signed, key)
        return context

    def _openssl(self, *arguments: str) -> None:
        assert OPENSSL is not None
        subprocess.run([OPENSSL, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def trusting(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Http]:
    """A client that trusts this authority as it does the public ones."""
    trusted = ssl.create_default_context(cafile=authority.certificate)
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **_named: trusted)
    async with client(timedelta(seconds=2)) as http:
        yield http


@needs_openssl
@pytest.mark.parametrize(
    ("name", "for_days", "detail"),
    [
        ("localhost", 2, None),
        ("localhost", -1, "certificate has expired"),
        ("other.example", 2, "Hostname mismatch, certificate is not valid for 'localhost'."),
    ],
    ids=["good", "expired", "of another host"],
)
async def test_a_certificate_counts_only_for_its_host_and_its_time(
    authority, monkeypatch, name, for_days, detail
):
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(body=b"well"))
        writer.close()

    tls = authority.sign(name, for_days=for_days)
    async with (
        trusting(authority, monkeypatch) as http,
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server,
    ):
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        answer = await get(http, url)
        assert await http.post(url, headers={}) is not None
    if detail is None:
        assert isinstance(answer, Answer)
        assert len(asked) == 2
    else:
        assert answer == Failed("tls", sent=False, detail=detail)
        assert asked == []


@pytest.mark.parametrize("after", [0, 1], ids=["at once", "after the first bytes"])
async def test_a_handshake_that_is_cut_off_sent_nothing(after):
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after:
            await reader.read(1)
        writer.transport.abort()

    async with client() as http, await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for failed in (await get(http, url), await http.post(url, headers={})):
            assert isinstance(failed, Failed)
            assert not failed.sent
            assert failed.reason in {"unreachable", "tls"}


# --- everything down for a day -------------------------------------------------------------


def test_a_day_without_a_network_loses_nothing_and_is_told_once():
    """Both ends away: nobody is asked more than the backoff lets, and then all goes its way."""
    with Life(new=3) as life:
        life.publisher.exchanges.clear()
        for faults in (
            life.publisher.faults,
            life.replica.get_faults,
            life.replica.post_faults,
        ):
            faults.always(reset())
        life.run(DAY // STEP)
        down = sorted({exchange.at for exchange in life.publisher.exchanges})
        assert not life.replica.effects
        assert len(down) <= 14
        assert all(after - before >= STEP for before, after in pairwise(down))
        for faults in (life.publisher.faults, life.replica.get_faults, life.replica.post_faults):
            faults.clear()
        life.run(int(6.6 * HOUR / STEP))  # the longest backoff
        assert life.live(Switch())
        life.assert_kept()
        assert_told_once(life, "feed_failing", "stenobird_failing")


def assert_told_once(life: Life, *problems: str) -> None:
    """Each was opened once, and recovered once, with how long it took."""
    opened = [fields["problem"] for _, fields in life.told("problem.opened")]
    recovered = {fields["problem"]: fields for _, fields in life.told("problem.recovered")}
    assert sorted(opened) == sorted(recovered) == sorted(problems)
    for fields in recovered.values():
        assert DAY.total_seconds() / 2 <= fields["took_s"] <= (DAY + 7 * HOUR).total_seconds()


def test_stenobird_down_for_a_day_is_told_once_and_every_request_goes_out_after():
    with Life(new=3) as life:
        for faults in (life.replica.get_faults, life.replica.post_faults):
            faults.always(reset())
        life.run(DAY // STEP)
        assert {status for status, _ in map(life.request, life.new)} == {"pending"}
        life.replica.get_faults.clear()
        life.replica.post_faults.clear()
        life.run(int(6.6 * HOUR / STEP))
        assert life.live(Switch())
        life.assert_kept()
        assert_told_once(life, "stenobird_failing")
