"""What goes into a table comes out the same, from both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from recorded import NOON, becoming, event, find, lease_feeds, new, record
from sqlalchemy.exc import IntegrityError

from monitor.adapters.store import catalogue, events, schema, work
from monitor.adapters.store.database import connect
from monitor.core.lifecycle import Status
from monitor.core.model import LogEvent

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 10, 25, 0, 59, 59, 999_999, tzinfo=UTC),  # clocks are put back in Europe
        datetime(2026, 10, 25, 6, 30, tzinfo=INDIA),
        datetime(1990, 1, 1, tzinfo=UTC),
        datetime(2100, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    ],
)
def test_an_instant_comes_back_as_the_same_instant_in_utc(database, at):
    database.write(events.append, [event()], at)
    (told,) = database.read(events.after, 0)
    assert told.at == at
    assert told.at.tzinfo is UTC


def test_instants_of_any_zone_are_compared_by_time(database):
    (episode_id,) = record(database, new(1, published_at=NOON.astimezone(INDIA)))
    c = schema.episodes.c

    def before(conn, at):
        query = sa.select(c.id).where(c.published_at < at.astimezone(INDIA))
        return conn.execute(query).scalars().all()

    assert database.read(before, NOON) == []
    assert database.read(before, NOON + timedelta(microseconds=1)) == [episode_id]


def test_a_session_in_another_time_zone_reads_the_same(postgresql, template):
    url = sa.make_url(postgresql.address(template)).update_query_dict(
        {"options": "-c timezone=Asia/Kolkata"}
    )
    database = connect(url.render_as_string(hide_password=False))
    with database.engine.begin() as conn:
        events.append(conn, [event()], NOON)
        (told,) = events.after(conn, 0)
        conn.rollback()
    database.close()
    assert (told.at, told.at.tzinfo) == (NOON, UTC)


def test_the_fields_of_an_event_keep_their_order_and_their_types(database):
    fields = {
        "z": 1,
        "a": None,
        "é": "\N{SNOWMAN} 'quoted' %s",
        "flag": True,
        "x": 0.5,
        "m": {"n": 2},
    }
    told = LogEvent("state.changed", "latent-space", "g", "warning", fields)
    database.write(events.append, [told], NOON)
    (committed,) = database.read(events.after, 0)
    assert committed.event == told
    assert list(committed.event.fields) == list(fields)
    assert committed.event.fields["flag"] is True


def test_an_episode_comes_back_as_it_was_recorded(database):
    seen = new(1, title="“Ünïcode” \N{SNOWMAN}\\ %_", link=None, duration_s=None)
    (episode_id,) = record(
        database, replace(seen, aliases=seen.aliases[:2], status=Status.HELD, reason="bulk")
    )
    feed = lease_feeds(database, due_by=NOON + timedelta(days=1))[0]
    known = database.read(catalogue.known, feed.id).episodes[episode_id]
    assert (known.title, known.duration_s) == (seen.observed.title, None)
    assert known.audio_bytes == 5_000_000_000
    assert known.present is True
    found = find(database, episode_id)
    assert found.episode.former_titles == ()
    assert (found.episode.link, found.episode.first_seen_at) == (None, NOON)
    assert (found.request.status, found.request.reason) == (Status.HELD, "bulk")
    assert found.request.outcome_unknown is False


def test_a_status_that_nobody_knows_is_refused(database):
    (episode_id,) = record(database, new(1))
    given = find(database, episode_id)
    with pytest.raises(IntegrityError):
        database.write(lambda conn: conn.execute(sa.update(schema.requests).values(status="stuck")))
    assert find(database, episode_id) == given


def test_an_episode_has_one_newest_request_and_one_of_each_generation(database):
    (episode_id,) = record(database, new(1))
    given = find(database, episode_id)
    with pytest.raises(IntegrityError):
        database.write(work.add_generation, episode_id, becoming(given), NOON)
    second = becoming(given, generation=2)
    database.write(work.add_generation, episode_id, second, NOON)
    with pytest.raises(IntegrityError):
        database.write(lambda conn: conn.execute(sa.update(schema.requests).values(newest=True)))
