"""Which daemons share a PostgreSQL database, what each of them polls, and which one logs.

Every daemon renews its row; who has not done so for ``ALIVE_FOR`` is taken for dead. One at a
time writes the committed events to its log: the first, for as long as it lives. A SQLite file
has one daemon (``instance``), and needs none of this.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.adapters.store.leases import clock

D = schema.daemons.c

RENEW_EVERY = timedelta(seconds=10)
ALIVE_FOR = 3 * RENEW_EVERY


def renew(conn: Connection, me: str, name: str, podcasts: Sequence[str], now: datetime) -> bool:
    """Say that daemon *me* lives; return whether the log is its to write."""
    if conn.dialect.name == "sqlite":
        return True
    at = clock(conn, now)
    conn.execute(sa.delete(schema.daemons).where(sa.or_(D.until <= at, D.id == me)))
    logs = conn.execute(sa.select(D.id).where(D.logs)).first() is None
    row = {"id": me, "name": name, "podcasts": [*podcasts], "until": at + ALIVE_FOR, "logs": logs}
    conn.execute(sa.insert(schema.daemons).values(row))
    return logs


def leave(conn: Connection, me: str) -> None:
    """Say that daemon *me* ends."""
    conn.execute(sa.delete(schema.daemons).where(D.id == me))


def names(conn: Connection, now: datetime) -> list[str]:
    """Return the daemons that live, by the names that people know them by."""
    query = sa.select(D.name).where(D.until > clock(conn, now)).order_by(D.name)
    return list(conn.execute(query).scalars())


def polled_by_others(conn: Connection, me: str, now: datetime) -> frozenset[str]:
    """Return the names of podcasts that other living daemons have in their configuration."""
    query = sa.select(D.podcasts).where(D.id != me, D.until > clock(conn, now))
    return frozenset(name for names in conn.execute(query).scalars() for name in names)
