"""Due times, when the wall clock was set back: what was due in a minute would be due in an hour.

A clock set forward needs nothing: what is overdue is done at once.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, schema
from monitor.core.model import LogEvent

P = schema.podcasts.c
EP = schema.episodes.c
R = schema.requests.c
AHEAD = (P.next_poll_at, R.next_attempt_at, EP.next_track_at, schema.freezes.c.until)
MILLISECOND = timedelta(milliseconds=1)
LEASES = (P.leased_until, EP.leased_until)
POSTED = schema.posts.c.at  # pace and budget count by it
BEHIND = (  # what was, and is measured from
    *(P.last_attempt_at, P.last_ok_at, P.last_new_at, P.last_full_at, P.suspect_at, P.moved_since),
    *(EP.last_tracked_at, EP.state_changed_at),
    *(R.accepted_at, R.same_at),
    *(schema.problems.c.since, schema.problems.c.opened_at, schema.problems.c.reminded_at),
)


def latest(conn: Connection) -> datetime | None:
    """Return the latest instant at which a daemon is known to have run; None: it never has."""
    last_event = sa.select(schema.events.c.at).order_by(schema.events.c.seq.desc()).limit(1)
    last_poll = sa.select(sa.func.max(P.last_attempt_at))
    known = (conn.execute(last_event).scalar(), conn.execute(last_poll).scalar())
    return max((at for at in known if at is not None), default=None)


def set_back(conn: Connection, by: timedelta, now: datetime) -> None:
    """The wall clock was set back *by* so much: what is to come, comes as much sooner.

    What was done was done at *now* at the latest. The event tells it, and that it is seen to; to
    the millisecond, as instants are in the log, so that its reader can set them back, too.
    """
    by = timedelta(milliseconds=round(by / MILLISECOND))
    on_our_clock = conn.dialect.name == "sqlite"  # leases on PostgreSQL run on the database's
    for column in (*AHEAD, *(LEASES if on_our_clock else ())):
        _set_back(conn, column, by, now, least=now)
    _set_back(conn, POSTED, by, now, least=None)
    for column in BEHIND:
        conn.execute(sa.update(column.table).where(column > now).values({column: now}))
    jumped = LogEvent("clock.jumped", level="warning", fields={"skew_s": -by.total_seconds()})
    events.append(conn, [jumped], now)


def _set_back(
    conn: Connection,
    column: sa.Column[datetime],
    by: timedelta,
    now: datetime,
    *,
    least: datetime | None,
) -> None:
    """Set back what lies after *now*, but to no instant before *least*."""
    (key,) = column.table.primary_key.columns
    rows = conn.execute(sa.select(key, column).where(column > now)).all()
    if rows:
        conn.execute(
            sa.update(column.table)
            .where(key == sa.bindparam("row"))
            .values({column: sa.bindparam("sooner")}),
            [{"row": row, "sooner": max(at - by, least or at - by)} for row, at in rows],
        )
