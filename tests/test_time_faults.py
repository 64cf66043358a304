"""The clock is wrong, jumps or stands still: nothing old is requested, nothing new is lost.

Where a process matters, the real daemon runs, with a wall clock that a file puts forward or back
(APScheduler's too); where days must pass, the real jobs on a clock turned by hand. Elsewhere:

| what | where |
| --- | --- |
| the scheduler is armed anew after a jump, and a slewed clock is none | ``test_ticker.py`` |
| a POST dated in the future counts for pace and budget | ``core/test_schedule.py`` |
| dates in feeds (years 1 and 9999, unreadable ones) | ``core/test_parse.py``, ``core/test_reconcile.py`` |
| Stenobird's dates; Retry-After in absurd years | ``core/test_resource.py``, ``core/test_headers.py`` |
| a session of PostgreSQL in another zone | ``store/test_tables.py`` |
"""

import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.adapters.store import takeover
from monitor.demo import html_page, status
from monitor.demo.publisher import Publisher, new_item
from monitor.demo.server import World, serve_in_thread
from tests.living import SLUG, START, STEP, Life, Switch
from tests.service import Far, Process, Service, now, wait_until

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)
EPOCH = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


class Jumping(Life):
    """A life whose own clock alone jumps: the far ends' go on."""

    def __init__(self, *, new: int = 1) -> None:
        super().__init__(new=new)
        self.ahead = timedelta()
        self.publisher.clock = self.replica.clock = lambda: self.clock() - self.ahead

    def jump(self, by: timedelta) -> None:
        """Turn the clock, and do what a daemon does first."""
        self.ahead += by
        self.clock.turn(by)
        start_again(self)


def start_again(life: Life) -> None:
    """Do what a daemon does first, with whatever time it is now."""
    podcasts = [("show", f"{life.base_url}{life.publisher.path}", SLUG)]
    with life._database() as database:
        database.write(takeover.take_over, podcasts, life.clock())


def asked(life: Life) -> list[datetime]:
    return [exchange.at for exchange in life.publisher.exchanges]


# --- set forward, or suspended -----------------------------------------------------------


@pytest.mark.parametrize("by", [HOUR, MONTH, START - EPOCH], ids=["hour", "month", "56 years"])
def test_a_clock_set_forward_costs_each_feed_one_poll(by):
    with Jumping(new=0) as life:
        life.publisher.exchanges.clear()
        life.jump(by)
        life.run(3)
        assert asked(life) == [START + n * STEP for n in range(3)]
        assert not life.replica.posts


def test_months_asleep_lose_no_episode_and_request_none_that_is_old():
    with Jumping(new=2) as life:
        life.jump(3 * MONTH)
        assert life.live(Switch())
        life.assert_kept()


# --- set back ------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [HOUR, MONTH], ids=["hour", "month"])
def test_a_clock_set_back_delays_no_poll_and_hastens_none(by):
    with Jumping(new=0) as life:
        life.run(3)
        life.jump(-by)
        life.step = MINUTE
        for _ in range(20):  # a crash loop is no storm either
            start_again(life)
            life.run()
        polls = asked(life)
    assert life.publisher.clock() - polls[-1] <= STEP + MINUTE
    # By how much it was set back is known to within the time since anything was done.
    assert all(STEP <= after - before <= 2 * STEP for before, after in pairwise(polls))


@pytest.mark.parametrize("by", [HOUR, MONTH], ids=["hour", "month"])
@pytest.mark.parametrize(
    "fault", [status(503), status(401), status(429, retry_after=3600), html_page()],
    ids=["failing", "closed door", "rest", "portal"],
)  # fmt: skip
def test_a_clock_set_back_delays_no_request_that_waits(by, fault):
    with Jumping(new=2) as life:
        life.replica.get_faults.always(fault)
        life.run(6)
        life.replica.get_faults.clear()
        life.jump(-by)
        assert life.live(Switch())
        life.assert_kept()


def test_a_clock_set_back_keeps_pace_and_budget_and_stops_no_request():
    with Jumping(new=4) as life:
        life.limits = replace(life.limits, per_minute=4, audio_minutes_per_day=300)
        life.live_on()
        life.jump(-MONTH)
        later = new_item(300, "Published after the clock was mended", life.publisher.clock())
        life.publisher.publish(later)
        life.new = (*life.new, later)
        assert life.live(Switch())
        assert [effect.guid for effect in life.replica.effects].count(later.guid) == 1


def test_an_unfamiliar_document_is_believed_as_soon_with_a_clock_set_back():
    with Jumping(new=0) as life:
        for n in range(4):
            life.publisher.publish(new_item(101 + n, f"Of the first host {n}", START))
        life.run()
        others = [new_item(500 + n, f"Of another {n}", START - n * DAY) for n in range(4)]
        body = Publisher("show", others, clock=life.clock).document().encode()
        life.publisher.faults.always(status(200, body=body))
        life.run()
        assert life.polled[-1]["reason"] == "unfamiliar"
        life.jump(-MONTH)
        life.run(4)
        assert life.polled[-1]["reason"] is None


def test_a_problem_that_stands_is_opened_as_soon_with_a_clock_set_back():
    with Jumping(new=0) as life:
        life.publisher.faults.always(status(503))
        life.run()
        life.jump(-MONTH)
        life.run(12)
        assert len(life.told("problem.opened")) == 1
        life.publisher.faults.clear()
        life.run(24)
        ((_, recovered),) = life.told("problem.recovered")
        assert 0 < recovered["took_s"] < 3 * HOUR.total_seconds()


# --- dates of others -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 01 Jan 2099 00:00:00 GMT",
        "Thu, 01 Oct 2026 11:59:60 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -1200",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "tomorrow",
    ],
)
def test_a_new_episode_is_new_whatever_its_date(date):
    with Life(new=0) as life:
        item = new_item(300, "A strange date", START + 7 * MINUTE)
        life.publisher.publish(item)
        written, there = life.publisher.document(), "Thu, 01 Oct 2026 12:07:00 GMT"
        assert written.count(there) == 1
        body = written.replace(there, date).encode()
        life.publisher.faults.always(status(200, body=body))
        life.run(6)
        assert {line["reason"] for line in life.polled} == {None}
        assert [effect.guid for effect in life.replica.effects] == [item.guid]


@pytest.mark.parametrize(
    "date", ["9999-12-31T23:59:59-14:00", "0001-01-01", "2016-12-31T23:59:60Z"]
)
def test_stenobirds_dates_decide_nothing(date):
    with Life() as life:
        shown = life.new[0].published_at
        document = life.replica.resource
        life.replica.resource = lambda *given, **named: _redated(  # type: ignore[method-assign] # of this instance
            document(*given, **named), shown, date
        )
        assert life.live(Switch())
        life.assert_kept()


def _redated(answer, shown, date):
    body = json.loads(answer.body)
    if "published_at" in body:
        body["published_at"] = date
    assert str(shown.year) in json.dumps(body) or date in json.dumps(body) or answer.status == 404
    return replace(answer, body=json.dumps(body).encode())


# --- the daemon itself ---------------------------------------------------------------------

TURNED = """
import datetime as real
from pathlib import Path

import apscheduler.schedulers.base
from monitor import daemon, runtime

AHEAD = Path({file!r})


def now():
    ahead = real.timedelta(seconds=float(AHEAD.read_text()))
    return real.datetime.now(real.UTC) + ahead


class Turned(real.datetime):
    @classmethod
    def now(cls, tz=None):
        return now().astimezone(tz)


apscheduler.schedulers.base.datetime = Turned
daemon.now = runtime.now = now
"""


class Turnable(Service):
    """A service whose wall clock can be turned while it runs; the monotonic one goes on."""

    def __init__(self, directory: Path, url: str, far: Far) -> None:
        super().__init__(directory, url, far)
        self._ahead = directory / "ahead"
        self.turn(timedelta())
        (directory / "sitecustomize.py").write_text(TURNED.format(file=str(self._ahead)))

    def turn(self, ahead: timedelta) -> None:
        turned = self._ahead.with_suffix(".new")
        turned.write_text(str(ahead.total_seconds()))
        turned.rename(self._ahead)  # never half written

    def begin(self, **environ: str) -> Process:
        return self.start(PYTHONPATH=str(self.directory), **environ)


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def service(far: Far, tmp_path: Path) -> Iterator[Turnable]:
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Turnable(tmp_path, url, far)
        yield service
        service.end()


def polls(far: Far) -> int:
    return len(far.publisher.exchanges)


def assert_polling(far: Far) -> None:
    """It polls on, at its interval by any true clock."""
    before = polls(far)
    wait_until(lambda: polls(far) >= before + 3, "no more polls")


def assert_fair(far: Far, *, forward: int = 0) -> None:
    """No two polls came closer than the interval, but for what the wire does to it.

    Of a feed that was due in a minute a clock set *forward* so often says that it is overdue.
    """
    times = [exchange.at for exchange in far.publisher.exchanges]
    gaps = [after - before for before, after in pairwise(times)]
    assert sum(gap < timedelta(seconds=0.19) for gap in gaps) <= forward


def followed(far: Far, guid: str) -> Callable[[], bool]:
    return lambda: far.replica.state(guid) == "processed"


@pytest.mark.parametrize("jump", [HOUR, MONTH], ids=["hour", "month"])
def test_a_running_daemon_outlives_a_jump_there_and_back(service, far, jump):
    daemon = service.begin()
    wait_until(lambda: polls(far) >= 2, "no polls")
    service.turn(jump)
    daemon.until("clock.jumped")
    assert_polling(far)
    service.turn(timedelta())
    wait_until(lambda: len(daemon.told("clock.jumped")) == 2, "not told")
    assert_polling(far)
    guid = far.publish(300)
    wait_until(followed(far, guid), "not requested")
    assert daemon.stop() == 0
    assert [effect.guid for effect in far.replica.effects] == [guid]
    forward, back = (line["skew_s"] for line in daemon.told("clock.jumped"))
    assert (forward, back) == pytest.approx((jump.total_seconds(), -jump.total_seconds()), abs=5)
    assert_fair(far, forward=1)
    assert [line for line in daemon.lines if line["level"] == "error"] == []


def test_a_clock_that_jumps_there_and_back_between_two_looks_stops_no_tick(service, far):
    service.begin()
    service.turn(HOUR)
    assert_polling(far)
    service.turn(timedelta())
    assert_polling(far)


def test_a_daemon_that_was_suspended_polls_once_when_it_wakes(service, far):
    daemon = service.begin()
    wait_until(lambda: polls(far) >= 2, "no polls")
    daemon.send(signal.SIGSTOP)
    service.turn(8 * HOUR)
    guid = far.publish(300)
    daemon.send(signal.SIGCONT)
    wait_until(followed(far, guid), "not requested")
    assert daemon.stop() == 0
    assert [effect.guid for effect in far.replica.effects] == [guid]
    assert_fair(far, forward=1)


def test_a_daemon_that_starts_in_1970_waits_and_says_so_and_requests_nothing_old(service, far):
    """By such a clock every episode ever published is new."""
    service.turn(EPOCH - now())
    daemon = Process(service.config, {"PYTHONPATH": str(service.directory)})
    service.processes.append(daemon)
    daemon.until("problem.opened", problem="clock")
    assert polls(far) == 0
    service.turn(timedelta())
    daemon.until("daemon.ready")
    assert_polling(far)
    guid = far.publish(300)
    wait_until(followed(far, guid), "not requested")
    assert daemon.stop() == 0
    assert [effect.guid for effect in far.replica.effects] == [guid]
    assert len(daemon.told("problem.recovered", problem="clock")) == 1


def test_a_daemon_that_falls_back_to_1970_stands_still_until_the_clock_is_set(service, far):
    service.begin()
    wait_until(lambda: polls(far) >= 2, "no polls")
    service.turn(EPOCH - now())
    guid = far.publish(300)
    service.turn(timedelta())
    wait_until(followed(far, guid), "not requested")
    assert [effect.guid for effect in far.replica.effects] == [guid]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_all_times_are_utc_in_any_zone_and_an_hour_that_comes_twice_is_no_event(service, far, zone):
    """From four seconds before, start included, New York's clocks go back; a zone of :45 for good measure."""
    ends = datetime(2026, 11, 1, 6, tzinfo=UTC)
    service.turn(ends - timedelta(seconds=4) - now())
    daemon = service.begin(TZ=zone)
    wait_until(lambda: polls(far) >= 12, "no polls")
    assert daemon.stop() == 0
    assert_fair(far)
    lines = [line["at"] for line in daemon.lines]
    assert max(lines) > ends.isoformat() > min(lines)
    assert all(at.endswith("Z") and abs(datetime.fromisoformat(at) - ends) < MINUTE for at in lines)
    assert daemon.told("clock.jumped") == []
    with closing(sqlite3.connect(service.database)) as conn:
        (due,) = conn.execute("SELECT next_poll_at FROM podcasts").fetchone()
    assert abs(datetime.fromisoformat(due + "+00:00") - ends) < MINUTE
