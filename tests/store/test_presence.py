"""Several daemons on one PostgreSQL: who lives, who polls what, and who writes the log."""

from contextlib import closing

import pytest
import sqlalchemy as sa
from recorded import MINUTE, NAME, NOON, SLUG, URL, configure, lease_feeds, new, record, rows
from sqlalchemy import Connection

from monitor.adapters.store import polls, presence, schema, work
from monitor.adapters.store.database import connect

D = schema.daemons.c


@pytest.fixture
def server(postgresql, template):
    name = postgresql.create(template)
    with closing(connect(postgresql.address(name))) as database:
        yield database
    postgresql.drop(name)


def dies(conn: Connection, me: str) -> None:
    """Let daemon *me* have renewed its row for the last time long ago."""
    long_ago = sa.func.clock_timestamp() - presence.ALIVE_FOR - MINUTE
    conn.execute(sa.update(schema.daemons).where(D.id == me).values(until=long_ago))


def test_the_first_writes_the_log_for_as_long_as_it_lives(server):
    assert server.write(presence.renew, "a", "pid 1", ["x"], NOON)
    assert not server.write(presence.renew, "b", "pid 2", ["x"], NOON)
    assert server.write(presence.renew, "a", "pid 1", ["x"], NOON)


@pytest.mark.parametrize("end", [presence.leave, dies])
def test_when_it_ends_the_next_one_writes_on(server, end):
    server.write(presence.renew, "a", "pid 1", ["x"], NOON)
    server.write(presence.renew, "b", "pid 2", ["x"], NOON)
    server.write(end, "a")
    assert server.write(presence.renew, "b", "pid 2", ["x"], NOON)
    assert not server.write(presence.renew, "a", "pid 1", ["x"], NOON), "it comes back too late"


def test_the_only_daemon_of_a_file_writes_its_log_and_leaves_no_trace(database):
    if database.kind == "sqlite":
        assert database.write(presence.renew, "a", "pid 1", ["x"], NOON)
        assert database.write(presence.renew, "b", "pid 2", ["x"], NOON)
        assert rows(database)["daemons"] == []


def test_what_other_living_daemons_poll_stays_configured(server):
    server.write(presence.renew, "a", "pid 1", ["theirs", "both"], NOON)
    server.write(presence.renew, "b", "pid 2", ["forgotten"], NOON)
    server.write(dies, "b")
    configure(server, "theirs", "both", "forgotten")
    others = server.read(presence.polled_by_others, "me", NOON)
    assert others == {"theirs", "both"}
    server.write(polls.configure, [("both", URL, SLUG)], NOON, others=others)
    names = server.read(
        lambda c: c.execute(sa.select(schema.podcasts.c.name).where(schema.podcasts.c.configured))
    )
    assert set(names.scalars()) == {"theirs", "both"}


def test_a_daemon_is_given_nothing_of_a_podcast_that_it_does_not_know(database):
    record(database, new(1))
    given = {"now": NOON, "due_by": NOON + MINUTE * 60, "token": "t", "lease_for": MINUTE}
    for lease in (work.lease_deliveries, work.lease_looks):
        assert database.write(lease, limit=9, podcasts=["another"], **given) == []
    assert len(database.write(work.lease_deliveries, limit=9, podcasts=[NAME], **given)) == 1


def test_one_that_was_away_takes_up_again_what_was_dropped_meanwhile(server):
    configure(server, NAME, "theirs")
    server.write(polls.configure, [("theirs", URL, SLUG)], NOON)
    assert lease_feeds(server) == []
    server.write(polls.keep, [NAME])
    assert [feed.podcast for feed in lease_feeds(server)] == [NAME]
