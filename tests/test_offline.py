"""An outage of our own: nobody is charged with it, it is one problem, and it is made up for."""

import asyncio
import socket
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from monitor.adapters.http import Failed
from monitor.adapters.reach import reaches
from monitor.core.model import DatabaseError
from monitor.core.schedule import Bounds
from monitor.demo import reset
from monitor.demo.server import World, serve_in_thread
from monitor.jobs import offline
from monitor.jobs.uplink import FRESH, Uplink
from tests.living import POLLING, STEP, Life
from tests.service import Far, Service

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 10, 12, 12, tzinfo=UTC)
FEED, STENOBIRD, OTHER = "https://feed.example/a", "https://stenobird.example", "https://o.example"


# --- who is to blame -----------------------------------------------------------------------


class Hosts:
    """Hosts that take connections, or not."""

    def __init__(self, *alive):
        self.alive = set(alive)
        self.asked = []

    async def reaches(self, url):
        self.asked.append(url)
        await asyncio.sleep(0)
        return url in self.alive

    def uplink(self, *urls):
        return Uplink(urls or (FEED, STENOBIRD, OTHER), self.reaches)


@pytest.mark.parametrize("reason", ["dns", "refused", "unreachable", "connect_timeout"])
async def test_a_host_that_alone_cannot_be_reached_is_its_own_trouble(reason):
    assert not await Hosts(OTHER).uplink().is_to_blame(FEED, reason, NOW)


async def test_when_nobody_takes_a_connection_it_is_ours():
    uplink = Hosts().uplink()
    assert await uplink.is_to_blame(FEED, "dns", NOW)
    assert (uplink.is_down, uplink.since) == (True, NOW)


@pytest.mark.parametrize("reason", ["timeout", "tls", "http_503", "connection_lost", "no_turn"])
async def test_whoever_was_reached_is_to_blame_for_what_follows(reason):
    hosts = Hosts()
    assert not await hosts.uplink().is_to_blame(FEED, reason, NOW)
    assert hosts.asked == []


async def test_with_one_host_alone_nothing_can_be_told():
    assert not await Hosts().uplink(FEED, FEED + "/b").is_to_blame(FEED, "dns", NOW)


async def test_of_many_that_fail_at_once_one_asks_a_few():
    hosts = Hosts()
    uplink = hosts.uplink(*(f"https://h{n}.example/" for n in range(100)))
    blames = (uplink.is_to_blame(f"https://h{n}.example/", "dns", NOW) for n in range(100))
    assert all(await asyncio.gather(*blames))
    assert len(hosts.asked) == 4


async def test_of_many_that_fail_while_one_host_answers_one_asks():
    hosts = Hosts(OTHER)
    uplink = hosts.uplink()
    blames = (uplink.is_to_blame(FEED, "dns", NOW) for n in range(100))
    assert not any(await asyncio.gather(*blames))
    assert len(hosts.asked) <= 4
    hosts.alive.clear()
    assert not await uplink.is_to_blame(FEED, "dns", NOW + FRESH / 2)
    assert await uplink.is_to_blame(FEED, "dns", NOW + FRESH)


async def test_the_first_that_answers_is_enough():
    async def reaches(url):
        if url != OTHER:
            await asyncio.sleep(60)
        return True

    uplink = Uplink((FEED, STENOBIRD, OTHER), reaches)
    async with asyncio.timeout(5):
        assert not await uplink.is_to_blame(FEED, "dns", NOW)


async def test_whom_it_asks_changes_so_that_four_dead_hosts_prove_nothing():
    alive = "https://h9.example/"
    uplink = Hosts(alive).uplink(*(f"https://h{n}.example/" for n in range(10)))
    assert await uplink.is_to_blame("https://h0.example/", "dns", NOW)
    assert [await uplink.is_over() for _ in range(4)].count(True) >= 1


async def test_it_is_over_when_anybody_takes_a_connection():
    hosts = Hosts()
    uplink = hosts.uplink()
    await uplink.is_to_blame(FEED, "dns", NOW)
    assert not await uplink.is_over()
    hosts.alive.add(OTHER)
    assert await uplink.is_over()


@pytest.mark.parametrize("urls", [(), (FEED,)], ids=["a proxy", "one host"])
async def test_where_it_can_no_longer_be_told_it_is_over(urls):
    """Else who mends an outage with a proxy would have a daemon that does nothing, for ever."""
    assert await Uplink(urls, Hosts().reaches).is_over()


async def test_a_recovery_that_cannot_be_written_is_written_later():
    uplink, written = Hosts(OTHER).uplink(), []
    uplink.was_looked_up = uplink.is_down = True
    uplink.missed = {"show"}

    async def write(_unit, _problem, missed, _now):
        written.append(missed)
        if len(written) == 1:
            raise DatabaseError("locked", "locked")

    ctx = SimpleNamespace(uplink=uplink, now=lambda: NOW, wake=lambda _: None, write=write)
    with pytest.raises(DatabaseError):
        await offline.watch(ctx)
    assert uplink.is_down
    await offline.watch(ctx)
    assert not uplink.is_down
    assert written == [{"show"}, {"show"}]


# --- whether anybody takes a connection -----------------------------------------------------


@contextmanager
def listening(host="127.0.0.1"):
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


async def test_a_port_that_somebody_listens_on_is_reached_and_nothing_is_sent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert await reaches(f"http://127.0.0.1:{server.getsockname()[1]}/", allow_private=True)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""


async def test_a_closed_port_and_a_name_of_nobody_are_not_reached():
    with listening() as port:
        pass
    assert not await reaches(f"http://127.0.0.1:{port}/", allow_private=True)
    assert not await reaches("http://nobody.invalid/", allow_private=True)
    assert not await reaches(f"http://{'x' * 64}.example/", allow_private=True)


async def test_a_private_address_is_not_dialled_unless_allowed():
    with listening() as port:
        assert not await reaches(f"http://127.0.0.1:{port}/", allow_private=False)
        assert await reaches(f"http://localhost:{port}/", allow_private=True)


# --- what becomes of the work ---------------------------------------------------------------


class CutOff(Life):
    """A life whose machine can be cut off: then nobody takes a connection."""

    def __init__(self):
        super().__init__()
        self.elsewhere = ("https://elsewhere.example",)
        self.is_cut = False
        self.cut_until = self.clock()
        self.attempts = 0  # while it was

    @property
    def is_offline(self):
        return self.is_cut or self.clock() < self.cut_until

    async def reaches(self, _url):
        return not self.is_offline

    def _context(self, database, http, stack):
        return super()._context(database, Unreachable(http, self), stack)


class Unreachable:
    """The real client, until the machine is cut off."""

    def __init__(self, http, life):
        self._http = http
        self._life = life
        self.turn = http.turn

    async def get(self, url, **kwargs):
        return await self._unless_cut(self._http.get, url, **kwargs)

    async def post(self, url, **kwargs):
        return await self._unless_cut(self._http.post, url, **kwargs)

    async def _unless_cut(self, send, url, **kwargs):
        if self._life.is_offline:
            self._life.attempts += 1
            return Failed("unreachable", sent=False)
        return await send(url, **kwargs)


def feed_of(life):
    ((failures, reason, ok),) = life.rows("SELECT failures, reason, last_ok_at FROM podcasts")
    return failures, reason, ok


def test_a_day_offline_is_one_problem_and_is_charged_to_nobody():
    with CutOff() as life:
        before = feed_of(life)
        life.is_cut = True
        life.run(12 * 25)
        assert feed_of(life) == before
        assert life.attempts == 1  # after it nobody else was asked
        life.is_cut = False
        life.live_on()
        life.assert_kept()
        assert [fields["problem"] for _, fields in life.told("problem.opened")] == ["offline"]
        assert [fields["problem"] for _, fields in life.told("problem.reminded")] == ["offline"]
        ((_, over),) = life.told("problem.recovered")
        assert timedelta(days=1) < timedelta(seconds=over["took_s"]) < timedelta(hours=26)


def test_offline_nobody_is_asked_and_what_was_missed_is_made_up_for_at_once():
    with CutOff() as life:
        six_hours = timedelta(hours=6)
        life.polling = replace(POLLING, poll=Bounds(six_hours, six_hours))
        life.run(70)  # its six hours are nearly over
        life.publisher.exchanges.clear()
        life.cut_until = over = life.clock() + timedelta(hours=2)
        life.run(40)
        assert [line["outcome"] for line in life.polled].count("offline") == 1
        (made_up,) = life.publisher.exchanges
        assert over <= made_up.at <= over + 2 * STEP


def test_an_outage_shorter_than_two_minutes_wakes_nobody():
    with CutOff() as life:
        life.step = timedelta(seconds=30)
        life.is_cut = True
        life.run(3)
        life.is_cut = False
        life.run(20)
        assert life.told("problem.opened") == []


def test_a_start_in_the_middle_of_an_outage_goes_on_with_it():
    with CutOff() as life:
        life.is_cut = True
        life.run(20)
        life.run(20)  # a new run: what was told is in the database alone
        assert len(life.told("problem.opened")) == 1
        life.is_cut = False
        life.run(2)
        assert len(life.told("problem.recovered")) == 1


def test_one_dead_host_is_charged_as_before():
    with CutOff() as life:
        life.publisher.faults.always(reset())
        life.run(10)
        failures, reason, _ = feed_of(life)
        assert failures > 0
        assert reason == "connection_lost"


# --- the whole service ----------------------------------------------------------------------


def test_the_service_waits_out_an_outage_and_goes_on_by_itself(tmp_path):
    far = Far()
    publisher, stenobird = (World(far.publisher, replica=far.replica) for _ in range(2))
    with serve_in_thread(publisher) as url, serve_in_thread(stenobird) as other:
        service = Service(tmp_path, url, far)
        text = service.config.read_text()
        service.config.write_text(text.replace(f'base_url = "{url}"', f'base_url = "{other}"'))
        daemon = service.start()
        daemon.until("feed.polled", new=1)
    try:
        daemon.until("feed.polled", outcome="offline")
        guid = far.publish(200)
        with (
            serve_in_thread(publisher, port=port_of(url)),
            serve_in_thread(stenobird, port=port_of(other)),
        ):
            daemon.until("request.processed", guid=guid)
        assert [effect.guid for effect in far.replica.effects] == [guid]
        assert not daemon.told("problem.opened")
    finally:
        service.end()


def port_of(url):
    return int(url.rpartition(":")[2])
