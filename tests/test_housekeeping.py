"""What is seen to every hour and every day, on both databases."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from monitor.adapters.store import events, polls
from monitor.core.problems import Kind, strike
from monitor.demo.publisher import new_item
from monitor.housekeeping import Housekeeping
from tests.living import Life
from tests.store.recorded import DAY, HOUR, NAME, NOON, lease_feeds, new, planned, record

pytestmark = pytest.mark.anyio
WEEKLY = [new(n, published_at=NOON - (30 - n) * 7 * DAY) for n in range(30)]


class House:
    """A day's housekeeping at an instant of choice."""

    def __init__(self, database, *podcasts):
        self.database = database
        self.now = NOON
        ctx = SimpleNamespace(
            database=database,
            podcasts=dict.fromkeys(podcasts or (NAME,)),
            read=self._of(database.read),
            write=self._of(database.write),
            now=lambda: self.now,
            database_thread=None,
        )
        self._keep = partial(Housekeeping(self._monotonic), ctx)

    def _monotonic(self):
        return self.now.timestamp()

    def _of(self, verb):
        async def run(unit, *args):
            return verb(unit, *args)

        return run

    async def keep(self, until, every=DAY):
        while self.now < until:
            self.now += every
            await self._keep()

    def told(self):
        lines = self.database.read(events.after, 0)
        return [(line.event, line.at) for line in lines if line.event.name.startswith("problem.")]


def weekly(database, **feed):
    """Record a show that came every week until a week before now."""
    recorded(database, *WEEKLY, **feed)


def recorded(database, *episodes, **feed):
    record(database, *episodes)
    (leased,) = lease_feeds(database, now=NOON + HOUR)
    plan = planned(leased)
    plan = replace(plan, feed=replace(plan.feed, **feed))
    assert database.write(polls.commit_poll, plan, now=NOON + HOUR)


async def test_a_silent_feed_is_a_problem_once_that_is_explained(database):
    weekly(database, last_new_at=NOON)
    house = House(database)
    await house.keep(until=NOON + 20 * DAY)
    ((told, at),) = house.told()
    assert (told.name, told.podcast, told.level) == ("problem.opened", NAME, "warning")
    assert told.fields["problem"] == "feed_silent"
    assert told.fields["reason"] == "no_news_in_14d"
    assert told.fields["detail"].startswith("of its last 29 gaps 95 % were within 7.0 d")
    assert at == NOON + 8 * DAY  # 15 days after the last: the first day beyond 14


async def test_a_back_catalogue_without_dates_tells_nothing_of_its_rhythm(database):
    undated = (new(n, published_at=None) for n in range(50))
    recorded(database, *undated, last_new_at=NOON, baseline_at=NOON)
    house = House(database)
    await house.keep(until=NOON + 60 * DAY)
    assert house.told() == []


async def test_it_is_reminded_of_monthly(database):
    weekly(database, last_new_at=NOON)
    house = House(database)
    await house.keep(until=NOON + 75 * DAY)
    told = [event for event, _ in house.told()]
    assert [event.name for event in told] == ["problem.opened", *["problem.reminded"] * 2]
    assert len({event.fields["detail"] for event in told}) == 1, "explained each time"


@pytest.mark.parametrize(
    "feed",
    [
        {"last_new_at": NOON, "failures": 1, "reason": "timeout"},
        {"last_new_at": NOON + 40 * DAY},
    ],
    ids=["one-that-fails", "one-with-news"],
)
async def test_that_is_not_said_of(database, feed):
    weekly(database, **feed)
    house = House(database)
    await house.keep(until=NOON + 40 * DAY)
    assert house.told() == []


async def test_nor_of_a_podcast_of_another_daemon(database):
    weekly(database, last_new_at=NOON)
    house = House(database, "another")
    await house.keep(until=NOON + 40 * DAY)
    assert house.told() == []


def test_news_take_it_back():
    with Life() as life:
        life.live_on()
        with life._database() as database:
            silent = strike(
                None, Kind.FEED_SILENT, reason="no_news_in_14d", now=NOON, podcast="show"
            )
            database.write(events.write_problems, [silent], NOON)
        life.run()
        assert life.told("problem.recovered") == []
        life.publisher.publish(new_item(300, "At last", life.clock()))
        life.run()
        ((_, told),) = life.told("problem.recovered")
    assert told["problem"] == "feed_silent"
