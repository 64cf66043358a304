"""Time-limited claims, as a condition in the WHERE clause and never as a state.

There is one writer of ours at a time, so nobody claims what another is claiming. On SQLite one daemon
holds the file, so its own clock will do and its start voids every lease. On PostgreSQL several
daemons share the work, so leases run on the database's clock; rows that any other program has
locked are passed by (``FOR UPDATE SKIP LOCKED``), and claimed when it is done.
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import ARRAY

from monitor.adapters.store import schema


def clock(conn: Connection, now: datetime) -> datetime:
    """Return the instant that leases are measured by."""
    if conn.dialect.name == "sqlite":
        return now
    at: datetime = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return at.astimezone(UTC)


def lease_expired(
    leased_until: sa.ColumnElement[datetime | None], at: datetime
) -> sa.ColumnElement[bool]:
    """Return the condition that nobody holds a lease at *at*."""
    return sa.or_(leased_until.is_(None), leased_until <= at)


def among(
    conn: Connection, column: sa.ColumnElement[str], names: Collection[str]
) -> sa.ColumnElement[bool]:
    """Return the condition that *column* is one of *names*, in one parameter however many they are.

    Ten thousand parameters take SQLAlchemy 30 ms, and PostgreSQL takes no more than 65,535.
    """
    if conn.dialect.name == "sqlite":
        each = sa.func.json_each(json.dumps([*names])).table_valued("value")
        return column.in_(sa.select(each.c.value))
    return column == sa.any_(sa.literal([*names], ARRAY(sa.Text)))


def void_all(conn: Connection) -> None:
    """Take back every lease. Only for the one daemon of a SQLite file, when it starts."""
    for table in (schema.podcasts, schema.episodes):
        held = table.c.leased_until.is_not(None)
        conn.execute(sa.update(table).where(held).values(leased_until=None, lease=None))


def void(conn: Connection, token: str) -> None:
    """Take back what was claimed as *token*."""
    for table in (schema.podcasts, schema.episodes):
        claimed = table.c.lease == token
        conn.execute(sa.update(table).where(claimed).values(leased_until=None, lease=None))
