"""Claims: of feeds, of deliveries, of looks; what is due, in which order, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from recorded import (
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NAME,
    NOON,
    SECOND,
    SLUG,
    URL,
    becoming,
    configure,
    deliveries,
    find,
    force,
    lease_feeds,
    looks,
    new,
    observed,
    record,
)

from monitor.adapters.store import freezing, leases, polls, schema, work
from monitor.adapters.store.freezing import Freeze
from monitor.core.lifecycle import Status


def expire(database):
    """Let every lease run out: SQLite's run on the time that is given, a server's on its own."""

    def act(conn):
        for table in (schema.podcasts, schema.episodes):
            past = leases.clock(conn, NOON) - SECOND
            held = table.c.lease.is_not(None)
            conn.execute(sa.update(table).where(held).values(leased_until=past))

    database.write(act)


# --- feeds -------------------------------------------------------------------------------


def test_a_feed_is_claimed_once_until_its_lease_runs_out(database):
    configure(database)
    (feed,) = lease_feeds(database)
    assert (feed.podcast, feed.url, feed.lease) == (NAME, URL, "poll")
    database.write(polls.mark_due, [NAME], NOON)
    assert lease_feeds(database, token="b") == []
    expire(database)
    assert [f.lease for f in lease_feeds(database, token="b")] == ["b"]


def test_a_claimed_feed_is_put_off_before_it_is_polled(database):
    configure(database)
    lease_feeds(database, least={NAME: 7 * MINUTE})
    expire(database)
    assert lease_feeds(database, now=NOON + 7 * MINUTE - SECOND) == []
    assert len(lease_feeds(database, now=NOON + 7 * MINUTE)) == 1


def test_the_longest_overdue_feeds_come_first(database):
    names = [f"podcast-{n}" for n in range(4)]
    configure(database, *names)
    for late, name in enumerate(names):
        database.write(polls.mark_due, [name], NOON - late * MINUTE)
    least = dict.fromkeys(names, MINUTE)
    claimed = [lease_feeds(database, least=least, limit=3), lease_feeds(database, least=least)]
    assert [[f.podcast for f in feeds] for feeds in claimed] == [names[:0:-1], names[:1]]


def test_only_what_is_configured_here_and_due_is_claimed(database):
    configure(database, NAME, "gone", "elsewhere", "later")
    configure(database, NAME, "elsewhere", "later")
    database.write(polls.mark_due, ["later"], NOON + SECOND)
    least = dict.fromkeys((NAME, "gone", "later"), MINUTE)
    assert [f.podcast for f in lease_feeds(database, least=least)] == [NAME]


def test_due_by_may_lie_before_now(database):
    configure(database)
    assert lease_feeds(database, now=NOON + HOUR, due_by=NOON - SECOND) == []
    assert len(lease_feeds(database, now=NOON + HOUR, due_by=NOON)) == 1


# --- whose clock, and the end of all leases ----------------------------------------------


def test_a_servers_leases_run_on_its_own_clock_a_files_on_ours(database):
    configure(database)
    lease_feeds(database)
    until = database.read(
        lambda conn: conn.execute(sa.select(schema.podcasts.c.leased_until)).scalar()
    )
    if database.kind == "sqlite":
        assert until == NOON + LEASE
    else:
        assert abs(until - LEASE - datetime.now(UTC)) < MINUTE


def test_a_daemon_that_takes_a_file_over_voids_every_lease(database):
    record(database, new(1))
    assert len(deliveries(database)) == 1
    database.write(polls.mark_due, [NAME], NOON)
    assert len(lease_feeds(database)) == 1
    database.write(polls.mark_due, [NAME], NOON)
    assert (lease_feeds(database), deliveries(database)) == ([], [])
    database.write(leases.void_all)
    assert (len(lease_feeds(database)), len(deliveries(database))) == (1, 1)


# --- deliveries --------------------------------------------------------------------------


def test_deliveries_are_the_newest_episodes_first_and_the_undated_last(database):
    record(database, new(1), new(2, published_at=None), new(3), new(4, published_at=None))
    assert [w.episode.post_id for w in deliveries(database)] == ["3", "1", "4", "2"]


def test_only_the_pending_that_are_due_are_delivered(database):
    due, later, *_ = record(
        database,
        new(1),
        new(2),
        new(3, Status.HELD, "bulk"),
        new(4, Status.ACCEPTED),
        new(5, Status.SKIPPED),
    )
    force(database, later, next_attempt_at=NOON + SECOND)
    assert [w.episode.id for w in deliveries(database)] == [due]
    assert [w.episode.id for w in deliveries(database, now=NOON + SECOND)] == [later]


def test_a_podcast_that_is_configured_no_more_is_neither_delivered_nor_looked_at(database):
    record(database, new(1), new(2, Status.HELD, "bulk"))
    configure(database, "another")
    assert (deliveries(database), looks(database)) == ([], [])
    configure(database, NAME)
    assert (len(deliveries(database)), len(looks(database, now=NOON, due_by=NOON + DAY))) == (1, 1)


def test_a_lease_covers_a_delivery_and_a_look_and_its_token_is_handed_out(database):
    record(database, new(1))
    (given,) = deliveries(database, token="mine")
    assert given.request.lease == "mine"
    assert given.episode.podcast_slug == SLUG
    assert (looks(database, now=NOON, due_by=NOON + DAY), deliveries(database)) == ([], [])
    expire(database)
    assert [w.request.lease for w in looks(database, token="yours")] == ["yours"]


def test_only_the_newest_generation_is_worked_on(database):
    (episode_id,) = record(database, new(1))
    force(database, episode_id, status="skipped")
    anew = becoming(find(database, episode_id), generation=2, status=Status.PENDING)
    database.write(work.add_generation, episode_id, anew, NOON)
    assert [w.request.generation for w in deliveries(database)] == [2]


@pytest.mark.parametrize("kind", ["postgresql"])
def test_what_another_program_has_locked_is_passed_by_until_it_lets_go(database):
    configure(database, NAME, "another")
    record(database, new(1))
    configure(database, NAME, "another")
    both = {NAME: MINUTE, "another": MINUTE}
    with sa.create_engine(database.engine.url, poolclass=sa.NullPool).connect() as other:
        for table, column in (("podcasts", "name = 'another'"), ("episodes", "TRUE")):
            other.exec_driver_sql(f"SELECT 1 FROM {table} WHERE {column} FOR UPDATE")
        assert [feed.podcast for feed in lease_feeds(database, least=both)] == [NAME]
        assert deliveries(database) == []
    assert [feed.podcast for feed in lease_feeds(database, least=both)] == ["another"]
    assert len(deliveries(database)) == 1


@pytest.mark.parametrize("limit", [0, -3])
def test_without_a_free_place_nothing_is_claimed(database, limit):
    record(database, new(1))
    assert deliveries(database, limit=limit) == []


def test_while_stenobird_is_closed_nothing_is_delivered_then_one_at_a_time(database):
    record(database, new(1), new(2), new(3))
    database.write(freezing.freeze, Freeze("http_401", 1, NOON + HOUR), NOON)
    assert deliveries(database, now=NOON + HOUR - SECOND) == []
    (trial,) = deliveries(database, now=NOON + HOUR)
    assert deliveries(database, now=NOON + HOUR) == []
    again = becoming(trial, next_attempt_at=NOON + DAY)
    assert database.write(work.settle, trial, again, None, now=NOON + HOUR)
    assert len(deliveries(database, now=NOON + HOUR)) == 1
    database.write(freezing.thaw)
    assert len(deliveries(database, now=NOON + HOUR)) == 1


# --- looks -------------------------------------------------------------------------------


def test_looks_go_to_the_unsettled_first_then_to_the_longest_due(database):
    early = {"next_track_at": NOON}
    record(
        database,
        replace(new(1, Status.HELD, "bulk"), **early),
        new(2, Status.ACCEPTED),
        replace(new(3, Status.PENDING), **early),
        new(4, Status.PROCESSED),
        replace(new(5), next_track_at=NOON + 2 * HOUR),
    )
    assert [w.episode.post_id for w in looks(database, limit=2)] == ["3", "2"]
    assert [w.episode.post_id for w in looks(database)] == ["1", "4"]


def test_held_and_settled_episodes_get_sixty_looks_an_hour(database):
    record(database, *(new(n, Status.HELD, "baseline") for n in range(70)), new(99))
    first = looks(database, limit=50)
    assert first[0].episode.guid == observed(99).guid
    assert len(first) == 50
    second = looks(database)  # 49 are under way
    assert len(second) == work.SELDOM_PER_HOUR - 49
    now = NOON + HOUR
    for w in [*first, *second]:
        assert database.write(work.settle, w, None, None, now=now, next_track_at=now + 30 * DAY)
    assert looks(database, now=now + HOUR - SECOND, due_by=now) == []
    assert len(looks(database, now=now + HOUR + SECOND, due_by=now)) == 10


def test_a_look_whose_lease_ran_out_is_not_counted_for_ever(database):
    record(database, *(new(n, Status.HELD, "baseline") for n in range(60)))
    assert len(looks(database)) == 60
    expire(database)
    assert len(looks(database)) == 60
