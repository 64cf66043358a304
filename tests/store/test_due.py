"""A wall clock that was set back: nothing waits for it to catch up."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from recorded import (
    DAY,
    HOUR,
    MINUTE,
    NAME,
    NOON,
    SLUG,
    URL,
    deliveries,
    event,
    new,
    record,
    rows,
)

from monitor.adapters.store import due, events, freezing, ledger, schema, takeover
from monitor.adapters.store.freezing import Freeze
from monitor.core.model import Post
from monitor.core.problems import Kind, strike

CONFIGURED = [(NAME, URL, SLUG)]


def post(work):
    return Post(replace(work.request, outcome_unknown=True), "https://s.example", "key", event())


def instants(database, column):
    return list(database.read(lambda c: c.execute(sa.select(column)).scalars().all()))


@pytest.fixture
def ahead(database):
    """A database that was used by a clock an hour ahead of what is noon now."""
    record(database, new(1), new(2), now=NOON + HOUR)
    database.write(freezing.freeze, Freeze("http_403", 1, NOON + HOUR + 5 * MINUTE), NOON + HOUR)
    return database


def test_what_is_to_come_comes_as_much_sooner(ahead):
    before = {column: instants(ahead, column) for column in due.AHEAD}
    ahead.write(due.set_back, HOUR, NOON)
    for column, were in before.items():
        assert were, column
        assert instants(ahead, column) == [max(at - HOUR, min(at, NOON)) for at in were]


@pytest.mark.parametrize("column", due.BEHIND, ids=str)
def test_what_was_done_was_done_now_at_the_latest(ahead, column):
    problem = strike(None, Kind.FEED_FAILING, reason="timeout", now=NOON + HOUR)
    ahead.write(events.write_problems, [problem], NOON + HOUR)
    ahead.write(lambda c: c.execute(sa.update(column.table).values({column: NOON + HOUR})))
    ahead.write(due.set_back, HOUR, NOON)
    assert set(instants(ahead, column)) == {NOON}


def test_a_post_is_as_long_ago_as_it_is(ahead):
    ahead.write(freezing.thaw)
    ahead.write(freezing.try_again, NOON + HOUR)
    work = deliveries(ahead, now=NOON + 2 * HOUR)[0]
    posted_at = NOON + HOUR - MINUTE
    assert ahead.write(ledger.begin, work, post(work), None, minutes=75, now=posted_at)
    ahead.write(due.set_back, HOUR, NOON)
    (spent,) = ahead.read(ledger.spent, NOON)
    assert spent.at == NOON - MINUTE


def test_a_lease_on_a_files_own_clock_comes_sooner_and_one_on_a_servers_does_not(ahead):
    ahead.write(freezing.thaw)
    assert deliveries(ahead, now=NOON + 2 * HOUR)
    leased = schema.episodes.c.leased_until
    before = instants(ahead, leased)
    ahead.write(due.set_back, HOUR, NOON)
    by = HOUR if ahead.kind == "sqlite" else timedelta()
    assert instants(ahead, leased) == [at and at - by for at in before]


def test_it_is_an_event_and_seen_to_once_however_often_a_daemon_starts(ahead):
    for start in range(3):
        ahead.write(takeover.take_over, CONFIGURED, NOON + start * MINUTE)
        if start == 0:
            after_the_first = rows(ahead)
    assert rows(ahead)["events"] == after_the_first["events"]
    (jumped,) = (e for e in ahead.read(events.after, 0) if e.event.name == "clock.jumped")
    assert jumped.event.fields == {"skew_s": -3600}
    assert jumped.at == NOON


@pytest.mark.parametrize("by", [timedelta(), timedelta(seconds=4), -DAY])
def test_a_clock_that_is_right_or_was_set_forward_changes_nothing(database, by):
    record(database, new(1))
    database.write(events.append, [event()], NOON)
    told = len(database.read(events.after, 0))
    database.write(takeover.take_over, CONFIGURED, NOON - by)
    assert len(database.read(events.after, 0)) == told


def test_a_database_that_was_never_used_knows_no_instant(database):
    assert database.read(due.latest) is None
    database.write(takeover.take_over, CONFIGURED, NOON)
